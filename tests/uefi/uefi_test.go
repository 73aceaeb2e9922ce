package uefi

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/uki"
	"leap.example/tests/firmware"
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
	l.Step(t, "a release is made, and flashed onto a larger disk", func() { l.Flash(t, firmware.Build(t, "1.0.0", firmware.Leapd(t), nil)) })
	var born node.Status
	l.Step(t, "firmware and boot loader start it", func() {
		l.On(t)
		born = l.Status(t, firmware.Runs("1.0.0"))
		l.Operator.Deploy(t, long, time.Second, nil)
	})
	if !strings.HasPrefix(born.Image.Loader, "systemd-boot") {
		t.Errorf("it was started by %+v", born.Image)
	}
	panicky := firmware.Build(t, "1.2.0", firmware.Panics(t), nil)
	l.Step(t, "a truncated release is refused", func() {
		if answer := l.put(t, "1.2.0", panicky.UKI[:len(panicky.UKI)/2]); !strings.Contains(answer, "not the release that it should be") {
			t.Errorf("it answers %s", answer)
		}
		l.kept(t, "1.0.0 good")
	})
	l.Step(t, "an update that works is blessed", func() {
		check(t, l.update(t, firmware.Build(t, "1.1.0", firmware.Leapd(t), nil)))
		l.Status(t, firmware.Runs("1.1.0"))
		l.kept(t, "1.1.0 good", "1.0.0 good")
	})
	l.Step(t, "one that panics is started three times, then the one before", func() {
		l.bad(t, panicky, "started 3 times")
		l.Says(t, "Kernel panic", "Kernel panic", "Kernel panic", "starting, release 1.1.0")
		l.Status(t, firmware.Runs("1.1.0"))
		l.kept(t, "1.1.0 good", "1.0.0 good")
	})
	l.Step(t, "the same again is refused", func() {
		if err := l.update(t, panicky); err == nil || !strings.Contains(err.Error(), "found bad before: started 3 times") {
			t.Errorf("got %v", err)
		}
	})
	l.Step(t, "an operator goes back", func() {
		check(t, l.Operator.Client().Back(t.Context(), telling(t)))
		l.Status(t, firmware.Runs("1.0.0"))
		l.kept(t, "1.0.0 good")
	})
	l.Step(t, "after a power cut all is as it was", func() {
		l.Machine.Cut(t)
		l.On(t)
		s := l.Status(t, firmware.Runs("1.0.0"))
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
	s := firmware.NewSigner(t)
	l.Machine.Config.UEFI.Trust = s.DER
	signed := func(o *uki.Options) { o.Certificate, o.Key = s.Cert, s.Key }
	l.Step(t, "a signed release is made, and flashed", func() { l.Flash(t, firmware.Build(t, "1.0.0", firmware.Leapd(t), signed)) })
	l.Step(t, "the firmware starts it", func() {
		l.On(t)
		l.Status(t, firmware.Runs("1.0.0"))
		l.Operator.Deploy(t, long, time.Second, nil)
	})
	born := l.Status(t, firmware.Runs("1.0.0"))
	unsigned := firmware.Build(t, "1.1.0", firmware.Panics(t), func(o *uki.Options) { o.Certificate = s.Cert })
	l.Step(t, "an update that is not signed is refused", func() {
		if err := l.update(t, unsigned); err == nil || !strings.Contains(err.Error(), "the firmware would refuse it") {
			t.Errorf("got %v", err)
		}
		l.kept(t, "1.0.0 good")
	})
	l.Step(t, "one that never gets healthy is back at the next start", func() {
		l.Operator.Deploy(t, short, long, nil)
		l.bad(t, firmware.Build(t, "1.2.0", firmware.Leapd(t), func(o *uki.Options) { signed(o); firmware.Without(o, "dns") }), "not healthy within 10s: dns: does not run")
		l.Says(t, "starting, release 1.2.0", "starting, release 1.0.0")
		l.kept(t, "1.0.0 good")
	})
	l.Step(t, "one whose agent does not start, too", func() {
		l.Operator.Deploy(t, short, time.Second, nil)
		l.bad(t, firmware.Build(t, "1.3.0", firmware.Leapd(t), func(o *uki.Options) { signed(o); firmware.Without(o, "agent") }), "the node did not find it good within 42s of its start")
		l.Says(t, "starting, release 1.3.0", "starting, release 1.0.0")
		l.kept(t, "1.0.0 good")
	})
	now := l.Status(t, firmware.Runs("1.0.0"))
	if now.MeshKey != born.MeshKey || now.Current.Number != 3 || len(now.Trouble) > 0 {
		t.Errorf("it was %+v, and is %+v", born, now)
	}
	l.Step(t, "a disk with a release that is not signed does not start", func() {
		l.Machine.Cut(t)
		l.Flash(t, &uki.Build{UKI: unsigned.UKI, BootLoader: firmware.Build(t, "1.0.0", firmware.Leapd(t), signed).BootLoader})
		l.On(t)
		l.Says(t, `Error loading \EFI\Linux\leap_1.1.0.efi: Access Denied`)
	})
}

// update gives the node a release and waits for its verdict.
func (l *rig) update(t *testing.T, b *uki.Build) error {
	t.Helper()
	return l.Operator.Client().Update(t.Context(), l.file(t, b), deploy.Updating{Told: telling(t)})
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
	for _, r := range l.Status(t, func(node.Status) error { return nil }).Image.Kept {
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
	url := fmt.Sprintf("https://%s%s?version=%s&sha256=%s", firmware.AgentAddress, node.PathRelease, version, hex.EncodeToString(sum[:]))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(content))
	check(t, err)
	tr := &http.Transport{DialContext: l.Operator.Access.Dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs: l.Operator.Access.Roots, Certificates: []tls.Certificate{l.Operator.Access.Certificate}, ServerName: firmware.AgentName,
	}}
	resp, err := tr.RoundTrip(req)
	check(t, err)
	defer func() { _ = resp.Body.Close() }() // Only read.
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.Status + " " + string(text)
}
