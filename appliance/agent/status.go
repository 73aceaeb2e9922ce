package agent

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"leap.example/appliance/node"
)

// settled is how long a service runs until its last ends are history.
const settled = time.Minute

// Status returns how the node is.
func (a *Agent) Status(ctx context.Context) (node.Status, error) {
	d, state := a.now()
	highest, good, err := a.gens.summary()
	if err != nil {
		return node.Status{}, err
	}
	now := a.parts.ClockState()
	s := node.Status{
		Provider: a.cfg.Identity.Provider, Node: a.cfg.Identity.Node, Release: a.cfg.Release, Image: a.imageNow(),
		Booted: a.cfg.Boot.Started, Now: now.Now, ClockKnown: now.Known, ClockTold: now.Told,
		Current: state, Good: good, Highest: highest, Disk: a.parts.Disk(), Memory: memory(),
		Services: map[string]node.ServiceStatus{}, Certificates: a.certificates(d),
	}
	if s.Bad, err = a.gens.refused(good); err != nil {
		return node.Status{}, err
	}
	if v := a.owing(); v.State == node.StateBad {
		s.Bad = v
	}
	key, err := a.keys.Ensure(meshKey, a.parts.MeshKey)
	if err != nil {
		return node.Status{}, err
	}
	if s.MeshKey, err = a.parts.MeshPublic(key); err != nil {
		return node.Status{}, err
	}
	held, err := a.keys.Digests()
	if err != nil {
		return node.Status{}, err
	}
	delete(held, meshKey)
	s.Secrets = slices.Sorted(maps.Keys(held))
	s.Trouble = append(s.Trouble, a.cfg.Boot.Trouble...)
	s.Trouble = append(s.Trouble, a.parts.NetworkTrouble()...)
	a.mu.Lock()
	if a.trouble != "" {
		s.Trouble = append(s.Trouble, a.trouble)
	}
	a.mu.Unlock()
	a.tellUpdate(d, &s)
	if a.mirror != nil && d.Updates != nil && d.Updates.Mirror != nil {
		s.Mirror = a.mirror.Status()
	}
	processes, err := a.parts.Supervisor.List(ctx)
	if err != nil {
		s.Trouble = append(s.Trouble, "the supervisor does not answer: "+err.Error())
	}
	reports := a.probe(ctx, d)
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		one, r := processes[name], reports[name]
		if one.Healthy, one.Error = r.Err == nil, ""; r.Err != nil {
			one.Error = r.Err.Error()
			if r.Ended != "" {
				one.Error += a.lastWords(ctx, name, one.Since.Add(-settled))
			}
			s.Trouble = append(s.Trouble, fmt.Sprintf("%s: %s", name, one.Error))
		} else if r.Restarts > 1 && time.Since(one.Since) < settled {
			s.Trouble = append(s.Trouble, fmt.Sprintf("%s does not stay up: %s", name, r.Ended))
		}
		s.Services[name] = one
	}
	if s.Disk.Size > 0 && s.Disk.Room() < 0 {
		s.Trouble = append(s.Trouble, fmt.Sprintf("the disk is nearly full: %d of %d MiB are free", s.Disk.Free>>20, s.Disk.Size>>20))
	}
	return s, nil
}

// Measure measures the file system of a directory.
func Measure(dir string) (d node.Disk) {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) == nil {
		d.Size, d.Free = int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	}
	return d
}

// memory reads the machine's memory from the kernel.
func memory() (m node.Memory) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			m.Size = kib << 10
		case "MemAvailable:":
			m.Available = kib << 10
		}
	}
	return m
}

// serveMetrics writes the node's figures in Prometheus' format.
func (a *Agent) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	s, err := a.Status(r.Context())
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, value float64) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "leap", Subsystem: "node", Name: name, Help: help})
		g.Set(value)
		reg.MustRegister(g)
	}
	gauge("disk_size_bytes", "Size of the writable partition.", float64(s.Disk.Size))
	gauge("disk_free_bytes", "Free space of the writable partition.", float64(s.Disk.Free))
	gauge("memory_size_bytes", "Memory of the machine.", float64(s.Memory.Size))
	gauge("memory_available_bytes", "Memory that services can still have.", float64(s.Memory.Available))
	gauge("generation", "Number of the generation that is applied.", float64(s.Current.Number))
	gauge("troubles", "Things that need an operator.", float64(len(s.Trouble)))
	gauge("boot_time_seconds", "When the agent started, in seconds since 1970.", float64(s.Booted.Unix()))
	ends := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "leap", Name: "certificate_end_seconds", Help: "When a certificate of the node ends, in seconds since 1970.",
	}, []string{"certificate"})
	reg.MustRegister(ends)
	for name, end := range s.Certificates {
		ends.WithLabelValues(name).Set(float64(end.Unix()))
	}
	services := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "leap", Name: "service_healthy", Help: "1 if a service runs and can do its work.",
	}, []string{"service"})
	restarts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "leap", Name: "service_restarts_total", Help: "Restarts of a service since it was started.",
	}, []string{"service"})
	reg.MustRegister(services, restarts)
	for name, one := range s.Services {
		healthy := 0.0
		if one.Healthy {
			healthy = 1
		}
		services.WithLabelValues(name).Set(healthy)
		restarts.WithLabelValues(name).Add(float64(one.Restarts))
	}
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}
