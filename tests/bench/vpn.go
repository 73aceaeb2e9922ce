package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// vpn measures the VPN. What is compared runs in one scene, by turns.
func (r *recorder) vpn(args []string) error {
	leapc := filepath.Join(r.scratch, "leapc")
	if _, err := r.command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", leapc, "./client/cmd/leapc"); err != nil {
		return err
	}
	args = append([]string{"-vpn.leapc=" + leapc}, args...)
	out, err := r.command("go", vpnCommand("", args)...)
	r.found.read(out)
	return errors.Join(err, r.vpnProfiles(args))
}

func vpnCommand(scene string, args []string) []string {
	pattern := "^BenchmarkVPN$"
	if scene != "" {
		pattern += "/^" + scene + "$"
	}
	return append([]string{"test", "-v", "-run", "^$", "-bench", pattern, "-benchtime", "1x", "-timeout", "1h", "./tests/bench/vpn", "-args"}, args...)
}

// vpnProfiles runs again each scene that missed a figure, with processes that
// leave profiles, and records where their time or memory went.
func (r *recorder) vpnProfiles(args []string) error {
	ran := map[string]error{}
	r.tops = map[string]string{}
	var failed error
	for _, f := range r.found.vpnFigures() {
		if f.verdict() != missed || f.scene == "" {
			continue
		}
		dir := filepath.Join(r.scratch, "profiles", f.scene)
		if _, ok := ran[f.scene]; !ok {
			ran[f.scene] = r.profileVPN(f.scene, dir, args)
			failed = errors.Join(failed, ran[f.scene])
		}
		if _, ok := r.tops[f.profile()]; ok || ran[f.scene] != nil {
			continue
		}
		pprof := []string{"tool", "pprof", "-top", "-nodecount=25"}
		if f.unit == "MB" {
			pprof = append(pprof, "-sample_index=inuse_space")
		}
		out, err := r.command("go", append(pprof, filepath.Join(dir, f.profile()))...)
		failed = errors.Join(failed, err)
		r.tops[f.profile()] = top(out)
		if f.unit != "MB" {
			_, err = r.command("go", append(pprof, "-cum", "-nodecount=60", filepath.Join(dir, f.profile()))...)
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// profileVPN runs a scene without those that are compared.
func (r *recorder) profileVPN(scene, dir string, args []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	args = append(slices.Clone(args), "-vpn.profiles="+dir, "-vpn.openvpn=none", "-vpn.rounds=1")
	_, err := r.command("go", vpnCommand(scene, args)...)
	return err
}

// profile is the name of the file with the profile that explains a miss.
func (f figure) profile() string {
	if f.unit == "MB" {
		return f.of + ".mem"
	}
	return f.of + ".cpu"
}

// explained returns list with the beginnings of profiles in the remarks of
// figures that were missed.
func (r *recorder) explained(list []figure) []figure {
	for i, f := range list {
		if t := r.tops[f.profile()]; f.verdict() == missed && t != "" {
			list[i].remark = strings.TrimPrefix(f.remark+"; "+f.of+": "+t, "; ")
		}
	}
	return list
}

// topLine is one of "pprof -top": flat, its share, the sum of shares, with
// callees, its share, and the function.
var topLine = regexp.MustCompile(`(?m)^\s*\S+\s+([0-9.]+%)\s+[0-9.]+%\s+\S+\s+[0-9.]+%\s+(.+)$`)

// top returns the first lines of what "pprof -top" said, in a few words.
func top(out string) string {
	var words []string
	for _, line := range topLine.FindAllStringSubmatch(out, 4) {
		name := line[2][strings.LastIndex(line[2], "/")+1:]
		words = append(words, line[1]+" "+strings.TrimSuffix(name, " (inline)"))
	}
	return strings.Join(words, ", ")
}

// vpnFigures returns the figures of the VPN in their order. One without target
// explains the one before it.
func (m measured) vpnFigures() []figure {
	get := func(scene, unit string) float64 { return m["BenchmarkVPN/"+scene][unit] }
	var list []figure
	for _, way := range []string{"up", "down"} {
		through := func(unit string) float64 { return get("throughput", fmt.Sprintf(unit, way)) }
		list = append(list,
			figure{
				what: "tunnel over OpenVPN, " + way, value: through("tunnel-%s-x-openvpn"), unit: "x", least: 2.5, scene: "throughput", of: "tunnel-helper",
				remark: fmt.Sprintf("wireguard-go both ends: %.0f over %.0f Mbit/s", through("tunnel-%s-Mbit/s"), through("openvpn-%s-Mbit/s")),
			},
			figure{what: "  over the bare cable", value: through("tunnel-%s-x-raw"), unit: "x", remark: fmt.Sprintf("%.0f Mbit/s", through("raw-%s-Mbit/s"))},
			figure{
				what: "CPU per GB over OpenVPN, " + way, value: through("tunnel-%s-cpu-x-openvpn"), unit: "x", most: 0.6, scene: "throughput", of: "tunnel-helper",
				remark: fmt.Sprintf("both ends: %.1f over %.1f s/GB", through("tunnel-%s-cpu-s/GB"), through("openvpn-%s-cpu-s/GB")),
			},
			figure{
				what: "  through the gateway without root", value: through("gateway-%s-x-openvpn"), unit: "x",
				remark: fmt.Sprintf("netstack ends TCP: %.0f Mbit/s, %.1f s/GB, %.2fx OpenVPN's CPU", through("gateway-%s-Mbit/s"), through("gateway-%s-cpu-s/GB"), through("gateway-%s-cpu-x-openvpn")),
			})
	}
	connect := func(unit string) float64 { return get("connect", unit) }
	return append(list,
		figure{
			what: "cold connect over OpenVPN, RTT 50 ms", value: connect("cold-x-openvpn"), unit: "x", most: 1, scene: "connect", of: "tunnel-helper",
			remark: fmt.Sprintf("to the first TCP connection: %.0f over %.0f ms, medians", connect("cold-ms"), connect("openvpn-ms")),
		},
		figure{what: "  in round trips", value: connect("cold-rtts"), unit: "RTT", remark: fmt.Sprintf(
			"of %.1f ms; firewall %.0f ms, lease %.0f ms, link and firewall again %.0f ms, then two round trips",
			connect("rtt-ms"), connect("block-ms"), connect("lease-ms"), connect("tunnel-ms"))},
		figure{what: "  by a client that runs already", value: connect("switch-x-openvpn"), unit: "x", remark: fmt.Sprintf("%.0f ms, as from the daemon", connect("switch-ms"))},
		figure{
			what: "warm reconnect over OpenVPN, RTT 50 ms", value: connect("warm-x-openvpn"), unit: "x", most: 0.5, scene: "connect", of: "tunnel-helper",
			remark: fmt.Sprintf("with a kept lease: %.0f ms, %.1f RTT", connect("warm-ms"), connect("warm-rtts")),
		},
		figure{
			what: "enrolments of the lease server", value: get("enrol", "leases/cpu-s"), unit: "/core-s", least: 800, scene: "enrol", of: "lease",
			remark: fmt.Sprintf("TLS 1.3, both certificates, X25519MLKEM768; %.0f with WireGuard's peers in the same process", get("enrol", "peers/cpu-s")),
		},
		figure{
			what: "enrolments over a bare Go mTLS server", value: get("enrol", "x-echo"), unit: "x", least: 0.75, scene: "enrol", of: "lease",
			remark: fmt.Sprintf("%.0f/core-s", get("enrol", "echo/cpu-s")),
		},
		limited("up", get("limited", "up-share")), limited("down", get("limited", "down-share")),
		figure{
			what: "an unlimited neighbour beside it", value: get("limited", "neighbour-share"), unit: "x", least: 0.95, scene: "limited", of: "gateway",
			remark: fmt.Sprintf("%.0f of %.0f Mbit/s", get("limited", "neighbour-beside-Mbit/s"), get("limited", "neighbour-alone-Mbit/s")),
		},
		figure{what: "helper's memory after a connect", value: get("throughput", "rss-MB"), unit: "MB", most: 20, remark: "RssAnon, userspace WireGuard in it", scene: "throughput", of: "tunnel-helper"},
		figure{what: "  the most under load", value: get("throughput", "loaded-rss-MB"), unit: "MB", remark: "of wireguard-go's buffers of 64 KiB, which have no bound"},
	)
}

// limited is the figure of a limited client's goodput.
func limited(way string, share float64) figure {
	return figure{
		what: "limited client over its rate, " + way, value: share, unit: "x", least: 0.7, most: 1.05, scene: "limited", of: "gateway",
		remark: "userspace meter, beside a neighbour that takes all",
	}
}
