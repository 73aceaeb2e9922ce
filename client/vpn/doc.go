// Package vpn keeps this computer's VPN: it carries out what package machine
// decides, and answers the control API (control.VPN).
//
//	machine     what is next: states, tries, timers. Pure.
//	policy      what traffic may do; the contract with whoever makes it so
//	userspace   makes it so for programs that use a proxy, without privileges
//	kernel      makes it so for the whole computer, as root
//	helper      the way to kernel from this unprivileged process
//	enroll      leases of gateways
//	transport   the tunnel's datagrams, by UDP or in TLS
//	uapi        what WireGuard in this process says of itself
//	wgquick     a lease as a file for other WireGuard programs
//
// One goroutine, Run's, owns the state: commands, answers and the clock reach
// it one after the other. After each it makes the policy of the new state true
// before anything else happens; what asks the network runs beside it and comes
// back as an event. All of the VPN's own connections are made by the Path, as
// the policy's Reach lets them, so that they work while everything is blocked.
//
// Files in the home directory, mode 0600, each with a version:
//
//	vpn.json           what the user decided; addresses of the provider's API
//	vpn-leases.json    leases, so that a restart connects with nobody asked
//	vpn-gateways.json  the list of gateways
//	vpn-cert.pem       the anonymous certificate and its key
//
// A vpn.json that cannot be read means lockdown: it may have said so.
//
// No log line names a gateway, an address, a key or a certificate.
package vpn
