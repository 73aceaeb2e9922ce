package bigcouch

import (
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// nodeInfo serves what is below /_node.
func (c *call) nodeInfo() error {
	if err := c.wantAdmin(); err != nil {
		if len(c.path) == 3 && c.path[2] == "_page" { // A browser asks for the password.
			c.w.Header().Set("WWW-Authenticate", `Basic realm="administrators", charset="UTF-8"`)
		}
		return err
	}
	if len(c.path) < 2 {
		return errNoHandler
	}
	if name := c.path[1]; name != "_local" && name != c.name() {
		return notFound("no such node: " + name)
	}
	path := c.path[2:]
	switch {
	case len(path) == 0:
		return c.dispatch(method{"GET", func(c *call) error {
			c.reply(http.StatusOK, map[string]string{"name": c.name()})
			return nil
		}})
	case path[0] == "_stats":
		return c.dispatch(method{"GET", func(c *call) error { return c.stats(path[1:]) }})
	case len(path) == 1 && path[0] == "_backup":
		return c.dispatch(method{"POST", (*call).backup})
	case len(path) == 1 && path[0] == "_checkpoint":
		return c.dispatch(method{"GET", (*call).checkpoints}, method{"POST", (*call).makeCheckpoint})
	case len(path) == 2 && path[0] == "_checkpoint":
		return c.dispatch(method{"DELETE", func(c *call) error { return c.dropCheckpoint(path[1]) }})
	case len(path) == 1 && path[0] == "_digest":
		return c.dispatch(method{"GET", (*call).digests}, method{"POST", (*call).compare})
	case len(path) == 1 && path[0] == "_cluster":
		return c.dispatch(method{"GET", (*call).clusterStatus})
	case len(path) == 1 && path[0] == "_overview":
		return c.dispatch(method{"GET", (*call).showOverview})
	case len(path) == 1 && path[0] == "_page":
		return c.dispatch(method{"GET", (*call).page})
	case len(path) == 1 && path[0] == "_prometheus":
		return c.dispatch(method{"GET", (*call).prometheus})
	case len(path) == 1 && path[0] == "_system":
		return c.dispatch(method{"GET", (*call).system})
	}
	return errNoHandler
}

// prometheus serves the metrics as Prometheus reads them.
func (c *call) prometheus() error {
	c.writeDeadline()
	promhttp.HandlerFor(c.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(c.w, c.r)
	return nil
}

// stats serves the metrics as CouchDB does: a tree, or what is below a path.
func (c *call) stats(path []string) error {
	var at any = c.metrics.tree()
	for _, name := range path {
		m, _ := at.(map[string]any)
		var ok bool
		if at, ok = m[name]; !ok {
			return notFound("no such statistic: " + strings.Join(path, "/"))
		}
	}
	c.reply(http.StatusOK, at)
	return nil
}

// system says how the process does.
func (c *call) system() error {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	disk, err := c.store.Free()
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, map[string]any{
		"uptime":        int64(time.Since(c.metrics.began).Seconds()),
		"os_proc_pid":   os.Getpid(),
		"process_count": runtime.NumGoroutine(),
		"memory":        map[string]uint64{"heap": m.HeapInuse, "other": m.Sys - m.HeapSys, "system": m.Sys},
		"disk":          map[string]uint64{"free": disk, "used": c.store.DiskBytes()},
	})
	return nil
}
