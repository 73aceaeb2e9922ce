package tufclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// HTTP is a mirror or a neighbour: a tree of files behind a URL. It sends nothing
// that tells one client from another.
type HTTP struct {
	base   *url.URL
	client *http.Client
}

// maxRedirects is how often a mirror may send to another place on itself.
const maxRedirects = 5

// NewHTTP returns the source behind a URL, http or https. The transport is for
// clients that go through a tunnel or a mesh; nil: the system's network, with no
// proxy.
func NewHTTP(base string, transport http.RoundTripper) (*HTTP, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("the URL of a mirror: %w", err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the URL of a mirror: %q is not of the form https://HOST/PATH", u.Redacted())
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	if transport == nil {
		transport = &http.Transport{
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    20 * time.Second,
			IdleConnTimeout:        20 * time.Second,
			MaxIdleConns:           2,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	h := &HTTP{base: u}
	h.client = &http.Client{Transport: transport, CheckRedirect: h.redirect}
	return h, nil
}

// OpenHTTP returns the sources behind URLs, as [NewHTTP] does. done closes their
// connections that wait for another request; it is never nil.
func OpenHTTP(urls []string, transport http.RoundTripper) (list []Source, done func(), err error) {
	var open []*HTTP
	done = func() {
		for _, h := range open {
			h.Close()
		}
	}
	for _, u := range urls {
		h, err := NewHTTP(u, transport)
		if err != nil {
			return nil, done, err
		}
		open, list = append(open, h), append(list, h)
	}
	return list, done, nil
}

// redirect takes redirects on the same host only.
func (h *HTTP) redirect(req *http.Request, via []*http.Request) error {
	if req.URL.Scheme != h.base.Scheme || req.URL.Host != h.base.Host || len(via) > maxRedirects {
		return ErrRedirect
	}
	return nil
}

// String returns the URL.
func (h *HTTP) String() string { return h.base.String() }

// Close closes connections that wait for another request.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

// Fetch implements [Source].
func (h *HTTP) Fetch(ctx context.Context, name string, limit, off int64) (io.ReadCloser, error) {
	u := *h.base
	u.Path += name // Not escaped: what is a percent sign in the name is one there.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "leap-update")
	req.Header.Set("Accept-Encoding", "identity")
	if off > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", off))
	}
	resp, err := h.client.Do(req)
	if err != nil {
		if errors.Is(err, ErrRedirect) {
			err = ErrRedirect // Without the place that it was to.
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := answer(resp, limit, off); err != nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return resp.Body, nil
}

// answer judges the head of an answer.
func answer(resp *http.Response, limit, off int64) error {
	length := resp.ContentLength
	switch resp.StatusCode {
	case http.StatusOK:
		if off > 0 {
			return ErrRange
		}
	case http.StatusPartialContent:
		var first, last, all int64
		_, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &all)
		if err != nil || off == 0 || first != off {
			return fmt.Errorf("%w: it was asked for what follows byte %d", ErrLength, off)
		}
		if length >= 0 {
			length += off
		}
	case http.StatusNotFound:
		return fs.ErrNotExist
	default:
		return fmt.Errorf("the source answers %s", http.StatusText(resp.StatusCode))
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" || resp.Uncompressed {
		return ErrEncoding
	}
	if length > limit {
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrLength, length, limit)
	}
	return nil
}
