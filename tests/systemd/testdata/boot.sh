# Becomes systemd, process 1 of namespaces that were made for it, on a root of its own:
# the programs of this machine, and nothing of its configuration.
#   boot.sh ROOT PROGRAMS [LAYER]
# LAYER has more of /usr, of packages that are not installed on this machine.
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$1"
cd "$1"
mkdir usr etc var run tmp proc sys dev opt root home home/alice programs old
if [ -n "$3" ]; then
	mount -t overlay -o "lowerdir=$3:/usr" usr usr
else
	mount --bind /usr usr
	mount -o remount,bind,ro usr
fi
mount --bind "$2" programs
mount -o remount,bind,ro programs
for l in bin sbin lib lib64; do ln -s usr/$l $l; done
# What belongs to the kernel is for reading: this machine lives on it, too.
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mkdir dev/net
for d in null zero full random urandom tty net/tun; do touch dev/$d; mount --bind /dev/$d dev/$d; done

chown 4242:4242 home/alice
cat > etc/passwd <<EOF
root:x:0:0:root:/root:/bin/sh
messagebus:x:100:100::/nonexistent:/usr/sbin/nologin
systemd-resolve:x:101:101::/:/usr/sbin/nologin
alice:x:4242:4242::/home/alice:/bin/sh
nobody:x:65534:65534::/:/usr/sbin/nologin
EOF
cat > etc/group <<EOF
root:x:0:
messagebus:x:100:
systemd-resolve:x:101:
alice:x:4242:
nogroup:x:65534:
EOF
echo 'nameserver 127.0.0.1' > etc/resolv.conf
: > etc/machine-id
mkdir -p etc/systemd/system
for u in systemd-sysctl systemd-sysusers systemd-tmpfiles-setup systemd-tmpfiles-setup-dev; do ln -s /dev/null etc/systemd/system/$u.service; done
cat > etc/systemd/system/lab.target <<EOF
[Unit]
Description=All that a test wants
Requires=basic.target
After=basic.target
AllowIsolate=yes
EOF
# What logind starts when alice logs in.
cat > etc/systemd/system/alice.service <<EOF
[Unit]
Description=The units of alice

[Service]
User=alice
Type=notify
Environment=XDG_RUNTIME_DIR=/run/alice
RuntimeDirectory=alice
RuntimeDirectoryMode=0700
ExecStart=/lib/systemd/systemd --user
Delegate=yes
EOF

pivot_root . old
umount -l old
rmdir old
exec env -i container=test PATH=/usr/bin:/usr/sbin /lib/systemd/systemd --unit=lab.target --show-status=no
