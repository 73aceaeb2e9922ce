package main

import "testing"

func TestVPNFigures(t *testing.T) {
	m := measured{}
	m.read("BenchmarkVPN/throughput \t       1\t         0.41 tunnel-up-cpu-x-openvpn\t        2.4 tunnel-up-x-openvpn\t         7.0 rss-MB\n" +
		"BenchmarkVPN/connect-2 \t       1\t       0.95 cold-x-openvpn\t         0.51 warm-x-openvpn\n" +
		"BenchmarkVPN/limited-2 \t       1\t       1.06 up-share\t         0.69 down-share\t         0.96 neighbour-share\n")
	want := map[string]string{
		"tunnel over OpenVPN, up":                missed,
		"tunnel over OpenVPN, down":              "NOT MEASURED",
		"CPU per GB over OpenVPN, up":            "met",
		"helper's memory after a connect":        "met",
		"cold connect over OpenVPN, RTT 50 ms":   "met",
		"warm reconnect over OpenVPN, RTT 50 ms": missed,
		"limited client over its rate, up":       missed,
		"limited client over its rate, down":     missed,
		"an unlimited neighbour beside it":       "met",
		"enrolments of the lease server":         "NOT MEASURED",
		"enrolments over a bare Go mTLS server":  "NOT MEASURED",
	}
	r := recorder{tops: map[string]string{"tunnel-helper.cpu": "a profile"}}
	for _, f := range r.explained(m.vpnFigures()) {
		if v, ok := want[f.what]; ok && f.verdict() != v {
			t.Errorf("%s: %v %s is %q, want %q", f.what, f.value, f.unit, f.verdict(), v)
		}
		if f.what == "warm reconnect over OpenVPN, RTT 50 ms" && f.remark != "with a kept lease: 0 ms, 0.0 RTT; tunnel-helper: a profile" {
			t.Errorf("remark %q", f.remark)
		}
		delete(want, f.what)
	}
	if len(want) > 0 {
		t.Errorf("no such figures: %v", want)
	}
}

func TestTop(t *testing.T) {
	const out = `Type: cpu
Showing nodes accounting for 8.28s, 81.5% of 10.16s total
      flat  flat%   sum%        cum   cum%
     2.65s 26.08% 26.08%      2.65s 26.08%  internal/runtime/syscall.Syscall6
     0.94s  9.25% 35.33%      1.01s  9.94%  golang.org/x/crypto/chacha20poly1305.chacha20Poly1305Seal (inline)
`
	if got, want := top(out), "26.08% syscall.Syscall6, 9.25% chacha20poly1305.chacha20Poly1305Seal"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
