package vpn

import (
	"context"

	"leap.example/client/control"
	"leap.example/client/vpn/enroll"
	"leap.example/client/vpn/wgquick"
	"leap.example/services/protocol/problem"
)

// VPNExport implements control.VPN. The lease is another one than the VPN's
// own: two programs with one key would push each other out.
func (v *VPN) VPNExport(ctx context.Context, q control.VPNChoice) (control.VPNConfig, error) {
	use := q.Use
	switch use {
	case "":
		use = v.prefs.Load().Use
	case useAuto:
		use = ""
	}
	list, err := v.known(ctx, use)
	if err != nil {
		return control.VPNConfig{}, err
	}
	for _, g := range list.Gateways {
		if !g.Healthy && len(list.Gateways) > 1 {
			continue
		}
		to := machineGateway(g)
		var grant enroll.Grant
		err = v.withCertificate(ctx, func(c *enroll.Client) (err error) {
			grant, err = c.Lease(ctx, to)
			return err
		})
		if err != nil {
			continue
		}
		text, err := wgquick.Config(g.Host, grant.Key, grant.Lease)
		if err != nil {
			return control.VPNConfig{}, err
		}
		return control.VPNConfig{Schema: control.Schema, Gateway: g.Host, Ends: grant.Lease.NotAfter, Config: text}, nil
	}
	if err == nil {
		err = problem.Unavailable.Errorf("no gateway is healthy: try again later")
	}
	return control.VPNConfig{}, err
}
