package tunnel

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/services/protocol/lease"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// A fake is a kernel that is text.
type fake struct {
	state
	deaf bool // It takes no addresses.
}

func (f *fake) read() (state, error) {
	s := f.state
	s.addresses = slices.Clone(s.addresses)
	return s, nil
}

func (f *fake) do(c change, to Config) error {
	switch {
	case c.do == create:
		f.mtu = 1400
	case f.mtu == 0:
		return errors.New("there is no device")
	case c.do == setMTU:
		f.mtu = to.MTU
	case c.do == configure:
		f.public, f.port = to.PrivateKey.Public(), to.Port
	case c.do == dropAddress:
		f.addresses = slices.DeleteFunc(f.addresses, func(a netip.Prefix) bool { return a == c.address })
	case c.do == addAddress && !f.deaf:
		f.addresses = append(f.addresses, c.address)
	case c.do == raise:
		f.up = true
	}
	return nil
}

func (f *fake) String() string {
	text, _ := f.public.MarshalText() // It always can.
	return fmt.Sprintf("mtu %d, public key %s, port %d, addresses %v, up %v\n", f.mtu, text, f.port, f.addresses, f.up)
}

func config() Config {
	return Config{
		PrivateKey: lease.Key{1}, Port: 51821, MTU: 1420,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.64.0.1/16"), netip.MustParsePrefix("fd00:64::1/64")},
	}
}

func TestUp(t *testing.T) {
	good := config().state()
	old := good
	old.port, old.mtu, old.addresses = 1, 1280, []netip.Prefix{netip.MustParsePrefix("10.64.0.1/20"), good.addresses[1]}
	down := good
	down.up = false
	for name, have := range map[string]state{"none": {}, "good": good, "old": old, "down": down, "new": {mtu: 1420}} {
		t.Run(name, func(t *testing.T) {
			k := &fake{state: have}
			d := &Device{k}
			done, err := d.Up(t.Context(), config())
			if err != nil {
				t.Fatal(err)
			}
			if again, err := d.Up(t.Context(), config()); err != nil || len(again) > 0 {
				t.Errorf("again it does %v, %v", again, err)
			}
			golden(t, name, strings.Join(append(done, k.String()), "\n"))
		})
	}
}

func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs; with -update it becomes:\n%s", path, text)
	}
}

// TestConnections: the kernel keeps track of more where there is more memory.
func TestConnections(t *testing.T) {
	for memory, want := range map[uint64]uint64{128 << 20: 1 << 15, 512 << 20: 1 << 16, 2 << 30: 1 << 18, 1 << 40: 1 << 20} {
		got := map[string]uint64{}
		for _, s := range settings(true, memory) {
			got[filepath.Base(s.path)] = s.value
		}
		if got["nf_conntrack_max"] != want || got["nf_conntrack_buckets"] != want/4 || got["ip_forward"] != 1 {
			t.Errorf("with %d bytes: %v, want %d connections", memory, got, want)
		}
	}
	path := filepath.Join(t.TempDir(), "setting")
	for _, c := range []struct {
		have           string
		least, changed bool
	}{{"100\n", false, true}, {"100\n", true, false}, {"5\n", true, true}, {"7\n", true, false}} {
		if err := os.WriteFile(path, []byte(c.have), 0o600); err != nil {
			t.Fatal(err)
		}
		if changed, err := (setting{path, 7, c.least}).apply(); changed != c.changed || err != nil {
			t.Errorf("from %q: changed %v, %v", c.have, changed, err)
		}
	}
}

func TestUpFails(t *testing.T) {
	d := &Device{&fake{deaf: true}}
	if _, err := d.Up(t.Context(), config()); err == nil || !strings.Contains(err.Error(), "has not taken: [add address 10.64.0.1/16") {
		t.Errorf("a kernel that does nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Up(ctx, config())
	_, err2 := d.List(ctx)
	for _, err := range []error{err, err2, d.Set(ctx, Peer{}), d.Remove(ctx), d.Forget(ctx, nil)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("without time: %v", err)
		}
	}
}
