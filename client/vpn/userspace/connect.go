package userspace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// An httpConnect is a client that speaks HTTP: RFC 9110, 9.3.6.
type httpConnect struct {
	r *bufio.Reader
	w io.Writer
}

func (h *httpConnect) request() (string, error) {
	req, err := http.ReadRequest(h.r)
	if err != nil {
		return "", h.refuse(http.StatusBadRequest, "this is a proxy: SOCKS5, or HTTP with CONNECT")
	}
	if req.Method != http.MethodConnect {
		return "", h.refuse(http.StatusMethodNotAllowed, "this proxy takes CONNECT; for http:// addresses use it as SOCKS5 (socks5h://)")
	}
	if _, _, err := net.SplitHostPort(req.Host); err != nil {
		return "", h.refuse(http.StatusBadRequest, "CONNECT wants HOST:PORT")
	}
	return req.Host, nil
}

func (h *httpConnect) refuse(code int, why string) error {
	_, err := fmt.Fprintf(h.w, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n", code, http.StatusText(code), len(why)+1, why)
	return errors.Join(errSyntax, err)
}

func (h *httpConnect) answer(err error) error {
	switch {
	case err == nil:
		_, err := io.WriteString(h.w, "HTTP/1.1 200 OK\r\n\r\n")
		return err
	case errors.Is(err, errBlocked):
		return h.refuse(http.StatusServiceUnavailable, err.Error())
	}
	return h.refuse(http.StatusBadGateway, "no connection through the tunnel")
}
