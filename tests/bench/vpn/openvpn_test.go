package vpn_test

import (
	"os/exec"
	"strings"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
)

// hint says how the program to compare with is had. It is not among the packages
// that tests install by themselves: its installation starts a service.
const hint = `its figures are not measured: apt-get install --no-install-recommends openvpn (it enables openvpn.service, which does nothing without a configuration)`

// An openvpn is OpenVPN's server and the means to start clients.
type openvpn struct {
	w      *world
	server *process
}

// openvpn starts the server. It is nil where the program is missing.
func (w *world) openvpn() *openvpn {
	w.Helper()
	if _, err := exec.LookPath(*peer); err != nil {
		w.Logf("no %s, so %s", *peer, hint)
		return nil
	}
	version, _ := exec.Command(*peer, "--version").Output() // Its status is 1.
	first, _, _ := strings.Cut(string(version), "\n")
	w.Log(first)
	p := w.pki
	key, cert, err := certs.SplitPEM(p.user(lease.Unlimited))
	w.must(err)
	p.write("user.key", key)
	p.write("user.crt", cert)
	server := w.start(nil, exec.Command(*peer, append(common("ovpns"), "--server", "10.8.0.0", "255.255.255.0", "--topology", "subnet",
		"--local", entry, "--port", "1194", "--push", "route 203.0.113.0 255.255.255.0", "--keepalive", "10", "60",
		"--ca", p.file(clientCAFile), "--cert", p.file(certFile), "--key", p.file(keyFile), "--dh", "none")...))
	server.until(initialized)
	server.drain()
	return &openvpn{w, server}
}

const initialized = "Initialization Sequence Completed"

func common(device string) []string {
	return []string{
		"--dev", device, "--dev-type", "tun", "--proto", "udp4", "--data-ciphers", "AES-256-GCM", "--disable-dco", "--verb", "3",
	}
}

// connect runs a client at p until it is connected.
func (o *openvpn) connect(p *nettest.Peer) *process {
	o.w.Helper()
	pki := o.w.pki
	c := o.w.start(p, exec.Command(*peer, append(common("ovpnc"), "--client", "--remote", entry, "1194", "--nobind",
		"--remote-cert-tls", "server", "--ca", pki.file(serverCAFile), "--cert", pki.file("user.crt"), "--key", pki.file("user.key"))...))
	c.until(initialized)
	c.drain()
	return c
}
