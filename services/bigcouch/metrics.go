package bigcouch

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"leap.example/services/bigcouch/store"
)

// metrics are those of one server. No label names a database or an account.
type metrics struct {
	began    time.Time
	registry *prometheus.Registry
	requests *prometheus.CounterVec // By method and status.
	duration prometheus.Histogram
	feeds    prometheus.Gauge
	writes   prometheus.Counter
	reads    prometheus.Counter
}

func newMetrics(s *store.Store) *metrics {
	m := &metrics{
		began:    time.Now(),
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "couchdb_httpd_requests_total", Help: "HTTP requests, by method and status.",
		}, []string{"method", "status"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "couchdb_request_seconds", Help: "Time from the request to the end of the answer, without feeds.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9),
		}),
		feeds: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "couchdb_httpd_clients_requesting_changes", Help: "Open feeds of changes.",
		}),
		writes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "couchdb_document_writes_total", Help: "Documents written, and refused for a conflict.",
		}),
		reads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "couchdb_database_reads_total", Help: "Documents read.",
		}),
	}
	m.registry.MustRegister(
		m.requests, m.duration, m.feeds, m.writes, m.reads, collectors.NewGoCollector(),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "couchdb_store_bytes", Help: "Bytes of the store on disk.",
		}, func() float64 { return float64(s.DiskBytes()) }),
	)
	return m
}

// methods are those that are counted by name.
var methods = map[string]bool{
	"GET": true, "HEAD": true, "PUT": true, "POST": true, "DELETE": true, methodCopy: true, "OPTIONS": true,
}

// count counts a request that has been answered.
func (m *metrics) count(method string, status int, took time.Duration, feed bool) {
	if !methods[method] {
		method = "other"
	}
	m.requests.WithLabelValues(method, strconv.Itoa(status)).Inc()
	if !feed {
		m.duration.Observe(took.Seconds())
	}
}

// tree returns the metrics in the shape of CouchDB's _stats.
func (m *metrics) tree() map[string]any {
	byMethod, byStatus, total := map[string]any{}, map[string]any{}, 0.0
	methods, statuses := map[string]float64{}, map[string]float64{}
	ch := make(chan prometheus.Metric, 1024)
	m.requests.Collect(ch)
	close(ch)
	for one := range ch {
		var d dto.Metric
		if one.Write(&d) != nil {
			continue
		}
		n := d.GetCounter().GetValue()
		total += n
		for _, l := range d.GetLabel() {
			if l.GetName() == "method" {
				methods[l.GetValue()] += n
			} else {
				statuses[l.GetValue()] += n
			}
		}
	}
	for name, n := range methods {
		byMethod[name] = stat(n, "counter", "number of HTTP "+name+" requests")
	}
	for name, n := range statuses {
		byStatus[name] = stat(n, "counter", "number of HTTP "+name+" responses")
	}
	value := func(one prometheus.Metric) float64 {
		var d dto.Metric
		if one.Write(&d) != nil {
			return 0
		}
		return d.GetCounter().GetValue() + d.GetGauge().GetValue()
	}
	return map[string]any{"couchdb": map[string]any{
		"httpd_request_methods": byMethod,
		"httpd_status_codes":    byStatus,
		"httpd": map[string]any{
			"requests":                   stat(total, "counter", "number of HTTP requests"),
			"clients_requesting_changes": stat(value(m.feeds), "counter", "number of clients for continuous _changes"),
		},
		"document_writes": stat(value(m.writes), "counter", "number of document write operations"),
		"database_reads":  stat(value(m.reads), "counter", "number of times a document was read from a database"),
	}}
}

func stat(n float64, kind, desc string) map[string]any {
	return map[string]any{"value": n, "type": kind, "desc": desc}
}

// A counted writer remembers the status of an answer.
type counted struct {
	http.ResponseWriter
	status int // 0: none yet.
}

func (w *counted) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *counted) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }
