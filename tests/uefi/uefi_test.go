package uefi

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/uki"
)

// long is for what is to be good in the end, short for what is not.
const (
	long  = 5 * time.Minute
	short = 10 * time.Second
)

// TestTrial is the story of a node that is given releases. Each step begins
// where the one before ended.
func TestTrial(t *testing.T) {
	l := newRig(t)
	t.Parallel()
	l.step(t, "a release is made, and flashed onto a larger disk", func() { l.flash(t, build(t, "1.0.0", leapd(t), nil)) })
	var born node.Status
	l.step(t, "firmware and boot loader start it", func() {
		l.on(t)
		born = l.status(t, runs("1.0.0"))
		l.op.deploy(t, long, time.Second)
	})
	if !strings.HasPrefix(born.Image.Loader, "systemd-boot") {
		t.Errorf("it was started by %+v", born.Image)
	}
	panicky := build(t, "1.2.0", panics(t), nil)
	l.step(t, "a truncated release is refused", func() {
		if answer := l.put(t, "1.2.0", panicky.UKI[:len(panicky.UKI)/2]); !strings.Contains(answer, "not the release that it should be") {
			t.Errorf("it answers %s", answer)
		}
		l.kept(t, "1.0.0 good")
	})
	l.step(t, "an update that works is blessed", func() {
		check(t, l.update(t, build(t, "1.1.0", leapd(t), nil)))
		l.status(t, runs("1.1.0"))
		l.kept(t, "1.1.0 good", "1.0.0 good")
	})
	l.step(t, "one that panics is started three times, then the one before", func() {
		l.bad(t, panicky, "started 3 times")
		l.says(t, "Kernel panic", "Kernel panic", "Kernel panic", "starting, release 1.1.0")
		l.status(t, runs("1.1.0"))
		l.kept(t, "1.1.0 good", "1.0.0 good")
	})
	l.step(t, "the same again is refused", func() {
		if err := l.update(t, panicky); err == nil || !strings.Contains(err.Error(), "found bad before: started 3 times") {
			t.Errorf("got %v", err)
		}
	})
	l.step(t, "an operator goes back", func() {
		check(t, l.op.client().Back(t.Context(), telling(t)))
		l.status(t, runs("1.0.0"))
		l.kept(t, "1.0.0 good")
	})
	l.step(t, "after a power cut all is as it was", func() {
		l.machine.Cut(t)
		l.on(t)
		s := l.status(t, runs("1.0.0"))
		if len(s.Image.Bad) != 2 || s.Image.Bad[1].Reason != "an operator gave it up" {
			t.Errorf("it knows %+v", s.Image.Bad)
		}
		if s.MeshKey != born.MeshKey || s.Current.Number != 1 || s.Current.State != node.StateGood || len(s.Trouble) > 0 {
			t.Errorf("it was %+v, and is %+v", born, s)
		}
	})
}

// TestSecureBoot has a firmware that starts only what is signed, and releases
// that are signed and do not get healthy.
func TestSecureBoot(t *testing.T) {
	l := newRig(t)
	t.Parallel()
	s := newSigner(t)
	l.machine.Config.UEFI.Trust = s.der
	signed := func(o *uki.Options) { o.Certificate, o.Key = s.cert, s.key }
	l.step(t, "a signed release is made, and flashed", func() { l.flash(t, build(t, "1.0.0", leapd(t), signed)) })
	l.step(t, "the firmware starts it", func() {
		l.on(t)
		l.status(t, runs("1.0.0"))
		l.op.deploy(t, long, time.Second)
	})
	born := l.status(t, runs("1.0.0"))
	unsigned := build(t, "1.1.0", panics(t), func(o *uki.Options) { o.Certificate = s.cert })
	l.step(t, "an update that is not signed is refused", func() {
		if err := l.update(t, unsigned); err == nil || !strings.Contains(err.Error(), "the firmware would refuse it") {
			t.Errorf("got %v", err)
		}
		l.kept(t, "1.0.0 good")
	})
	l.step(t, "one that never gets healthy is back at the next start", func() {
		l.op.deploy(t, short, long)
		l.bad(t, build(t, "1.2.0", leapd(t), func(o *uki.Options) { signed(o); without(o, "dns") }), "not healthy within 10s: dns: does not run")
		l.says(t, "starting, release 1.2.0", "starting, release 1.0.0")
		l.kept(t, "1.0.0 good")
	})
	l.step(t, "one whose agent does not start, too", func() {
		l.op.deploy(t, short, time.Second)
		l.bad(t, build(t, "1.3.0", leapd(t), func(o *uki.Options) { signed(o); without(o, "agent") }), "the node did not find it good within 42s of its start")
		l.says(t, "starting, release 1.3.0", "starting, release 1.0.0")
		l.kept(t, "1.0.0 good")
	})
	now := l.status(t, runs("1.0.0"))
	if now.MeshKey != born.MeshKey || now.Current.Number != 3 || len(now.Trouble) > 0 {
		t.Errorf("it was %+v, and is %+v", born, now)
	}
	l.step(t, "a disk with a release that is not signed does not start", func() {
		l.machine.Cut(t)
		l.flash(t, &uki.Build{UKI: unsigned.UKI, BootLoader: build(t, "1.0.0", leapd(t), signed).BootLoader})
		l.on(t)
		l.says(t, `Error loading \EFI\Linux\leap_1.1.0.efi: Access Denied`)
	})
}

// runs is wrong unless a release is good and the service healthy.
func runs(version string) func(node.Status) error {
	return func(s node.Status) error {
		if s.Release != version || s.Image.State != node.StateGood || len(s.Image.Kept) == 0 {
			return fmt.Errorf("it runs %s: %+v", s.Release, s.Image)
		}
		if one, ok := s.Services["dns"]; s.Current.Number > 0 && (!ok || !one.Healthy) {
			return fmt.Errorf("its service: %+v, %+v", s.Current, one)
		}
		return nil
	}
}

// update gives the node a release and waits for its verdict.
func (l *rig) update(t *testing.T, b *uki.Build) error {
	t.Helper()
	return l.op.client().Update(t.Context(), l.file(t, b), deploy.Updating{Told: telling(t)})
}

// bad gives the node a release that it has to give up for that reason.
func (l *rig) bad(t *testing.T, b *uki.Build, reason string) {
	t.Helper()
	err := l.update(t, b)
	if !errors.Is(err, deploy.ErrBadRelease) || !strings.Contains(err.Error(), ": "+reason) {
		t.Fatalf("%v, not %q", err, reason)
	}
	telling(t)(err.Error())
}

func telling(t *testing.T) func(string) {
	return func(s string) { t.Log("                          ", s) }
}

// kept fails unless these releases are on the disk.
func (l *rig) kept(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, r := range l.status(t, func(node.Status) error { return nil }).Image.Kept {
		got = append(got, r.Version+" "+r.State)
	}
	if !slices.Equal(got, want) {
		t.Errorf("on the disk are %q, not %q", got, want)
	}
}

// put sends the node what somebody says is a release, and returns its answer.
func (l *rig) put(t *testing.T, version string, content []byte) string {
	t.Helper()
	sum := sha256.Sum256(content)
	url := fmt.Sprintf("https://%s%s?version=%s&sha256=%s", net.JoinHostPort(nodeIP, strconv.Itoa(agentPort)), node.PathRelease, version, hex.EncodeToString(sum[:]))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(content))
	check(t, err)
	tr := &http.Transport{DialContext: l.op.access.Dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs: l.op.access.Roots, Certificates: []tls.Certificate{l.op.access.Certificate}, ServerName: node.ServerName(nodeName, domain),
	}}
	resp, err := tr.RoundTrip(req)
	check(t, err)
	defer func() { _ = resp.Body.Close() }() // Only read.
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.Status + " " + string(text)
}
