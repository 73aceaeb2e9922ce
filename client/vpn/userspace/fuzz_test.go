package userspace

import (
	"bufio"
	"bytes"
	"net"
	"testing"
)

// FuzzRequest: no client of the proxy makes it panic, and what it takes by HTTP is
// an address with a port. By SOCKS a name may be any bytes: who dials refuses it.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"))
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x07a.examp\x00\x50"))
	f.Add([]byte("\x05\x02\x01\x02"))
	f.Add([]byte("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, proto := range map[string]protocol{
			"SOCKS": &socks{bufio.NewReader(bytes.NewReader(data)), new(bytes.Buffer)},
			"HTTP":  &httpConnect{bufio.NewReader(bytes.NewReader(data)), new(bytes.Buffer)},
		} {
			address, err := proto.request()
			if err != nil || name == "SOCKS" {
				continue
			}
			if _, _, err := net.SplitHostPort(address); err != nil {
				t.Errorf("%q: %v", address, err)
			}
		}
	})
}
