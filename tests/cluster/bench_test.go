package cluster

import (
	"os"
	"testing"
	"time"

	"leap.example/image/deploy"
	"leap.example/image/provider"
	"leap.example/image/release"
	"leap.example/image/uki"
	"leap.example/tests/lab"
)

// idle is how long a node is left alone before its memory is looked at.
const idle = 30 * time.Second

// BenchmarkNodes measures what is promised of nodes. It is for a machine that does
// nothing else (make bench-nodes).
func BenchmarkNodes(b *testing.B) {
	b.Run("release", func(b *testing.B) {
		_, err := lab.Release(b.Context()) // What it is made of is in caches then.
		check(b, err)
		var r *release.Release
		b.ReportMetric(took(func() { r = kept(b) }), "build-s")
		for unit, file := range map[string]string{"MB": r.UKI(), "sent-MB": r.UKI() + ".zst"} {
			about, err := os.Stat(file)
			check(b, err)
			b.ReportMetric(float64(about.Size())/1e6, unit)
		}
	})
	b.Run("five", func(b *testing.B) {
		l, _ := newFive(b, nil)
		born(b, l)
		b.ReportMetric(took(func() { deployed(b, l, deploy.Unchanged, all...) }), "unchanged-s")
		again(b, l, all...)
	})
	b.Run("one", func(b *testing.B) {
		l := newOne(b, "services:dns")
		again(b, l, "one")
	})
	b.Run("every", func(b *testing.B) {
		l := newOne(b, "services:couchdb,soledad,webapp,mx,dns")
		time.Sleep(idle) // It is to have nothing to do.
		s := l.Healthy("one")
		b.ReportMetric(float64(s.Memory.Size-s.Memory.Available)/1e6, "used-MB")
	})
}

// kept builds a release as "leap image build" does, with a disk image.
func kept(b *testing.B) *release.Release {
	b.Helper()
	of := lab.Of("0.0.1")
	built, err := uki.Make(b.Context(), of)
	check(b, err)
	r, err := release.Keep(b.Context(), b.TempDir(), built, release.Options{Version: of.Release.Version, Built: of.Release.Built, Disk: true})
	check(b, err)
	return r
}

// newOne makes a node alone, and has it take its first document.
func newOne(b *testing.B, services string) *lab.Lab {
	b.Helper()
	if !*qemu {
		b.Skip("machines are booted with -qemu only")
	}
	dir := b.TempDir()
	op := lab.NewOperator(b, dir, provider.Answers{
		Domain: domain, Name: "Demonstration", Contact: "postmaster@" + domain, Enrollment: "open", Operator: "alice",
	}, common)
	op.AddNode("one", services, "ip_address:10.77.0.11")
	l := lab.New(b, dir, op, lab.Options{Memory: map[string]int{"": 768}, Artefacts: *artefacts})
	check(b, l.Start(b.Context()))
	l.Meet()
	deployed(b, l, deploy.Good, "one")
	l.Healthy("one")
	return l
}

// again cuts the power of nodes, and measures from when it is back: until all
// agents listen, and until all services are healthy.
func again(b *testing.B, l *lab.Lab, names ...string) {
	b.Helper()
	for _, name := range names {
		check(b, l.Node(name).PowerCut(b.Context()))
	}
	agents := took(func() { check(b, l.Start(b.Context())) })
	b.ReportMetric(agents, "agents-s")
	b.ReportMetric(agents+took(func() {
		for _, name := range names {
			l.Healthy(name)
		}
	}), "healthy-s")
}

// took is how long something takes, in seconds.
func took(do func()) float64 {
	begin := time.Now()
	do()
	return time.Since(begin).Seconds()
}
