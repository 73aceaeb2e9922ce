package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// locate runs in a network and a mount namespace of its own. There the
// provider has the ports of a node (WKD at 443), the host file names its
// hosts, and its CA is the only one. Arguments: leapd, directory of the
// provider, GnuPG's home, host file, CA, address.
const locate = `
ip link set lo up
mount --bind "$4" /etc/hosts
mount --bind "$5" /etc/ssl/certs/ca-certificates.crt
"$1" dev --dir "$2" --base-port 377 >"$2/locate.log" 2>&1 &
leapd=$!
for i in $(seq 600); do
	curl -q -sS --fail http://127.0.0.1:476/ >/dev/null 2>&1 && break
	sleep 0.1
done
gpg --homedir "$3" --batch --auto-key-locate clear,wkd --with-colons --locate-keys "$6"
status=$?
gpgconf --homedir "$3" --kill all
kill $leapd
wait $leapd
exit $status
`

// TestLocateKeys lets GnuPG find a key by itself, from nothing but the address.
func TestLocateKeys(t *testing.T) {
	for _, need := range [][2]string{
		{"/usr/bin/gpg", "gnupg"},
		{"/usr/bin/dirmngr", "dirmngr"},
		{"/usr/bin/unshare", "util-linux"},
		{"/usr/bin/curl", "curl"},
		{"/usr/sbin/ip", "iproute2"},
	} {
		program(t, need[0], need[1])
	}
	if _, errs, err := try(t, nil, "/usr/bin/unshare", "--net", "--mount", "/usr/sbin/ip", "link", "set", "lo", "up"); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, errs)
	}
	p := leapd.New(t)
	a := newPerson(t, p, "cleo", "default")
	p.Kill()
	other := newGPG(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	for path, text := range map[string]string{
		hosts: "127.0.0.1 localhost " + p.At.Domain + " openpgpkey." + p.At.Domain + "\n",
		filepath.Join(other.home, "dirmngr.conf"): "standard-resolver\ndisable-ipv6\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, err := try(t, nil, "/usr/bin/unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", locate, "locate",
		leapd.Path(t), p.Dir, other.home, hosts, p.At.CAFile, a.address)
	if err != nil || !strings.Contains(string(out), ":"+a.fingerprint+":") {
		t.Errorf("gpg did not find %s: %v\n%s%s", a.fingerprint, err, out, errs)
	}
}
