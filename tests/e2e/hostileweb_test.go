package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// secrets are what an attacker may know who was let in.
type secrets struct {
	couch string // Password of the administrator.
	user  *mailbox
}

func basic(name, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password)) + "\r\n"
}

func (s secrets) token() string {
	return "Authorization: Token " + base64.StdEncoding.EncodeToString([]byte(s.user.id+":"+s.user.token)) + "\r\n"
}

// malformed are requests that no server may answer as if they were sound. HOST
// stands for the name of the host.
var malformed = []string{
	"GET\r\n\r\n",
	"GET /\r\n\r\n",
	"GET / HTTP/9.9\r\nHost: HOST\r\n\r\n",
	"GET / HTTP/1.1\r\n\r\n", // No Host.
	"GET / HTTP/1.1\r\nHost: HOST\r\nHost: other\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: HOST\r\nNoColon\r\n\r\n",
	"GET / HTTP/1.1\r\nHost : HOST\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: HOST\r\nX-Nul: a\x00b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: ho st/\r\n\r\n",
	"G@T / HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"GET /%zz HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n",
	"POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
	"POST /x HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gibberish\r\n\r\nabc",
	"POST /x HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nabc",
	"POST /x HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
	"CONNECT somewhere.example:443 HTTP/1.1\r\nHost: somewhere.example:443\r\n\r\n",
	"GET http://somewhere.example/x HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"GET /../../../../etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"GET /..%2f..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"GET /.well-known/openpgpkey/../../../etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n",
	"TRACE /x HTTP/1.1\r\nHost: HOST\r\nX-Secret: x\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

// webAttacks are those on what speaks HTTP.
func webAttacks(s secrets) []attack {
	return []attack{
		{"malformed requests", isHTTP, sendMalformed},
		{"a header of 8 MiB", isHTTP, request(func(d *door) io.Reader {
			return io.MultiReader(strings.NewReader("GET / HTTP/1.1\r\nHost: "+d.host+"\r\nX-Long: "), endless("x", 8<<20), strings.NewReader("\r\n\r\n"))
		})},
		{"100,000 headers", isHTTP, request(func(d *door) io.Reader {
			return io.MultiReader(strings.NewReader("GET / HTTP/1.1\r\nHost: "+d.host+"\r\n"), endless("X-Many: x\r\n", 1_100_000), strings.NewReader("\r\n\r\n"))
		})},
		{"a path of 4 MiB", isHTTP, request(func(d *door) io.Reader {
			return io.MultiReader(strings.NewReader("GET /"), endless("x/", 4<<20), strings.NewReader(" HTTP/1.1\r\nHost: "+d.host+"\r\n\r\n"))
		})},
		{"bodies without end", isHTTP, endlessBodies},
		{"1000 requests at once", isHTTP, func(ctx context.Context, d *door) error {
			c, err := d.open(ctx)
			if err != nil {
				return err
			}
			exchange(c, endless("GET /nothing HTTP/1.1\r\nHost: "+d.host+"\r\n\r\n", 1000*(34+len(d.host))))
			return nil
		}},
		{"authenticated: bodies without end", named("couch", "soledad"), s.endlessBodies},
		{"authenticated: a gzip bomb", named("couch"), s.bomb},
		{"authenticated: JSON of great depth", named("couch"), s.deep},
		{"HTTP/2: random frames", isH2, h2(func(c *tls.Conn, _ *http2.Framer, _ string) error {
			_, err := c.Write(junk(64 << 10))
			return err
		})},
		{"HTTP/2: headers without end", isH2, h2(func(_ *tls.Conn, f *http2.Framer, host string) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(host, "GET")}); err != nil {
				return err
			}
			for range 2000 {
				if err := f.WriteContinuation(1, false, fields(strings.Repeat("x", 8<<10), "")); err != nil {
					return nil // Cut off, as it should be.
				}
			}
			return errors.New("16 MiB of headers were taken")
		})},
		{"HTTP/2: streams begun and reset", isH2, h2(func(_ *tls.Conn, f *http2.Framer, host string) error {
			for i := range uint32(2000) {
				err := errors.Join(
					f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: fields(host, "GET"), EndHeaders: true, EndStream: true}),
					f.WriteRSTStream(2*i+1, http2.ErrCodeCancel),
				)
				if err != nil {
					return nil // Cut off.
				}
			}
			return nil
		})},
		{"HTTP/2: pings and settings", isH2, h2(func(_ *tls.Conn, f *http2.Framer, _ string) error {
			for range 20_000 {
				if errors.Join(f.WritePing(false, [8]byte{}), f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})) != nil {
					return nil // Cut off.
				}
			}
			return nil
		})},
	}
}

// request sends one request, which must be refused.
func request(r func(*door) io.Reader) func(context.Context, *door) error {
	return func(ctx context.Context, d *door) error {
		c, err := d.open(ctx)
		if err != nil {
			return err
		}
		reply, _ := exchange(c, r(d))
		return refused(d, reply)
	}
}

func sendMalformed(ctx context.Context, d *door) error {
	for _, text := range malformed {
		c, err := d.open(ctx)
		if err != nil {
			return err
		}
		text = strings.ReplaceAll(text, "HOST", d.host)
		reply, _ := exchange(c, strings.NewReader(text))
		if err := refused(d, reply); err != nil && !redirected(reply) && d.name != "health" { // It answers every path alike.
			return fmt.Errorf("%q: %w", text, err)
		}
		if bytes.Contains(reply, []byte("root:")) {
			return fmt.Errorf("%q: a file of the system came back", text)
		}
	}
	return nil
}

// redirected reports whether a reply points to the cleaned path.
func redirected(reply []byte) bool { return bytes.HasPrefix(reply, []byte("HTTP/1.1 30")) }

// endlessBodies sends bodies that nobody asked for.
func endlessBodies(ctx context.Context, d *door) error {
	const much = 48 << 20
	for _, path := range []string{"POST /", "POST /1/users", "PUT /1/sessions/x", "POST /tickets/new", "PUT /user-0123456789abcdef/doc/x", "PUT /load/x"} {
		for _, length := range []string{"Content-Length: 4000000000", "Transfer-Encoding: chunked"} {
			c, err := d.open(ctx)
			if err != nil {
				return err
			}
			head := fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n%s\r\n\r\n", path, d.host, length)
			reply, sent := exchange(c, io.MultiReader(strings.NewReader(head), endless("1000\r\n"+strings.Repeat("x=y&", 1<<10)+"\r\n", much)))
			if d.name == "health" {
				continue // It answers every request alike; that it does not read the body is seen below.
			}
			if err := refused(d, reply); err != nil {
				return fmt.Errorf("%s, %s: %w", path, length, err)
			}
			if sent >= much {
				return fmt.Errorf("%s, %s: %d MiB were taken", path, length, sent>>20)
			}
		}
	}
	return nil
}

// endlessBodies sends bodies to where an account may write.
func (s secrets) endlessBodies(ctx context.Context, d *door) error {
	paths, auth := []string{"PUT /load/x", "POST /load/_bulk_docs", "POST /load/_find", "POST /_session"}, basic("admin", s.couch)
	if d.name == "soledad" {
		paths, auth = []string{"POST /user-" + s.user.id + "/sync-from/x", "PUT /user-" + s.user.id + "/doc/keyring", "PUT /blobs/" + s.user.id + "/x"}, s.token()
	}
	for _, path := range paths {
		for _, kind := range []string{"application/json", "application/x-soledad-sync-put"} {
			c, err := d.open(ctx)
			if err != nil {
				return err
			}
			head := fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", path, d.host, auth, kind)
			reply, _ := exchange(c, io.MultiReader(strings.NewReader(head), endless("1000\r\n"+strings.Repeat("[[[[", 1<<10)+"\r\n", 80<<20)))
			if err := refused(d, reply); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return nil
}

// bomb sends 256 MiB in a few octets.
func (s secrets) bomb(ctx context.Context, d *door) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := io.Copy(z, io.MultiReader(strings.NewReader(`{"a":"`), endless("x", 256<<20)))
	if err := errors.Join(err, z.Close()); err != nil {
		return err
	}
	for _, path := range []string{"PUT /load/bomb", "POST /load/_bulk_docs", "POST /load/_find"} {
		c, err := d.open(ctx)
		if err != nil {
			return err
		}
		head := fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n",
			path, basic("admin", s.couch), packed.Len())
		reply, _ := exchange(c, io.MultiReader(strings.NewReader(head), bytes.NewReader(packed.Bytes())))
		if err := refused(d, reply); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// deep sends JSON of a million levels.
func (s secrets) deep(ctx context.Context, d *door) error {
	body := `{"a":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + `}`
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	head := fmt.Sprintf("PUT /load/deep HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		basic("admin", s.couch), len(body))
	reply, _ := exchange(c, strings.NewReader(head+body))
	return refused(d, reply)
}

// h2 speaks HTTP/2.
func h2(f func(*tls.Conn, *http2.Framer, string) error) func(context.Context, *door) error {
	return func(ctx context.Context, d *door) error {
		secured := *d
		secured.tls = d.tls.Clone()
		secured.tls.NextProtos = []string{"h2"}
		conn, err := secured.open(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			return err
		}
		go io.Copy(io.Discard, conn) // Ends with conn.
		framer := http2.NewFramer(conn, nil)
		framer.AllowIllegalWrites = true
		if err := framer.WriteSettings(); err != nil {
			return err
		}
		return f(conn.(*tls.Conn), framer, d.host)
	}
}

// fields encodes the fields of a request; without a method, one long field.
func fields(value, method string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	if method == "" {
		e.WriteField(hpack.HeaderField{Name: "x-long", Value: value, Sensitive: true}) // Into memory.
		return b.Bytes()
	}
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", value}, {":path", "/nothing"}} {
		e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return b.Bytes()
}
