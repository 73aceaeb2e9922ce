package bigcouch

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// What pages may do unless the configuration says otherwise.
var (
	corsMethods = []string{"CONNECT", "COPY", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"}
	corsHeaders = []string{
		"accept", "accept-language", "authorization", "content-length", "content-range", "content-type", "destination", "expires",
		"if-match", "if-none-match", "last-event-id", "last-modified", "origin", "pragma", "range", "referer", "x-couch-full-commit",
		"x-couch-id", "x-couch-persist", "x-couchdb-www-authenticate", "x-http-method-override", "x-requested-with",
	}
)

// corsExposed are the headers of answers that pages may read.
const corsExposed = "content-type, accept-ranges, cache-control, content-encoding, content-length, content-range, etag, location, server"

// cors lets a page of another origin read the answer, if the configuration
// lets it. It answers a browser's question whether a request may be made, and
// reports whether it did.
func (c *call) cors() (done bool) {
	cfg, origin := c.cfg.CORS, c.r.Header.Get("Origin")
	if len(cfg.Origins) == 0 || c.ctx().Value(fromPeer{}) != nil {
		return false // The node that the client asks answers for another one too.
	}
	h := c.w.Header()
	h.Add("Vary", "Origin") // A cache must not give one origin the answer of another.
	if origin == "" || !slices.Contains(cfg.Origins, "*") && !slices.Contains(cfg.Origins, origin) {
		return false
	}
	method := c.r.Header.Get("Access-Control-Request-Method")
	preflight := c.r.Method == http.MethodOptions && method != ""
	if preflight && !c.corsAllows(method) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if cfg.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if !preflight {
		h.Set("Access-Control-Expose-Headers", corsExposed)
		return false
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(or(cfg.Methods, corsMethods), ", "))
	h.Set("Access-Control-Allow-Headers", c.r.Header.Get("Access-Control-Request-Headers"))
	h.Set("Access-Control-Max-Age", strconv.Itoa(cfg.MaxAge))
	c.w.WriteHeader(http.StatusNoContent)
	return true
}

// corsAllows reports whether a page may make the request that it asks about.
func (c *call) corsAllows(method string) bool {
	if !slices.Contains(or(c.cfg.CORS.Methods, corsMethods), method) {
		return false
	}
	allowed := or(c.cfg.CORS.Headers, corsHeaders)
	for name := range strings.SplitSeq(c.r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.TrimSpace(name)
		if name != "" && !slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, name) }) {
			return false
		}
	}
	return true
}

func or(list, missing []string) []string {
	if len(list) == 0 {
		return missing
	}
	return list
}
