package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"leap.example/appliance/node"
)

// Limits of checks.
const (
	peerFor    = 5 * time.Second
	resolveFor = 5 * time.Second
)

// checks looks at what no one outside can see: whether the other nodes answer in
// the mesh, what listens, and whether the resolver knows the provider. An operator
// has asked for it, so it takes the time that it needs.
func (a *Agent) checks(ctx context.Context) []node.Check {
	d, _ := a.now()
	list := a.checkMesh(ctx, d)
	list = append(list, checkListeners(d, "/proc/net/tcp", "/proc/net/tcp6"))
	if _, ok := d.Services["dns"]; ok {
		list = append(list, checkResolver(ctx, d))
	}
	return list
}

func (a *Agent) serveChecks(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(a.checks(r.Context()))
}

// checkMesh has each peer's agent answer at its address in the mesh.
func (a *Agent) checkMesh(ctx context.Context, d node.Document) []node.Check {
	if d.Mesh == nil {
		return nil
	}
	list := make([]node.Check, len(d.Mesh.Peers))
	var wg sync.WaitGroup
	for k, p := range d.Mesh.Peers {
		wg.Go(func() {
			at := netip.AddrPortFrom(p.Address, d.Agent.Port)
			c, err := (&net.Dialer{Timeout: peerFor}).DialContext(ctx, "tcp", at.String())
			if err != nil {
				list[k] = node.Check{Name: "mesh", State: node.CheckFail, Text: fmt.Sprintf("%s does not answer: %v", p.Name, err)}
				return
			}
			_ = c.Close() // It was only to be opened.
			list[k] = node.Check{Name: "mesh", State: node.CheckOK, Text: p.Name + " answers"}
		})
	}
	wg.Wait()
	return list
}

// checkListeners compares what listens on TCP beyond loopback with the document.
func checkListeners(d node.Document, tables ...string) node.Check {
	c := node.Check{Name: "listeners", State: node.CheckFail}
	got := map[uint16]bool{}
	for _, table := range tables {
		f, err := os.Open(table)
		if errors.Is(err, os.ErrNotExist) {
			continue // A kernel without IPv6.
		}
		if err == nil {
			err = errors.Join(listening(f, got), f.Close())
		}
		if err != nil {
			c.Text = err.Error()
			return c
		}
	}
	want := map[uint16]bool{d.Agent.Port: true}
	if d.Updates != nil && d.Updates.Mirror != nil {
		want[d.Updates.Mirror.Port] = true
	}
	for _, s := range d.Services {
		for _, l := range s.Listeners {
			if l.Protocol == "tcp" {
				want[l.Port] = true
			}
		}
	}
	var wrong []string
	for _, port := range slices.Sorted(maps.Keys(got)) {
		if !want[port] {
			wrong = append(wrong, fmt.Sprintf("port %d is open and no part of the document", port))
		}
	}
	for _, port := range slices.Sorted(maps.Keys(want)) {
		if !got[port] {
			wrong = append(wrong, fmt.Sprintf("nothing listens at port %d", port))
		}
	}
	if len(wrong) > 0 {
		c.Text = strings.Join(wrong, "; ")
		return c
	}
	return node.Check{Name: "listeners", State: node.CheckOK, Text: fmt.Sprintf("%d ports of TCP, as the document says", len(want))}
}

// listening adds the ports of TCP sockets that listen beyond loopback, from
// /proc/net/tcp or tcp6 (proc_net(5)).
func listening(r io.Reader, ports map[uint16]bool) error {
	const stateListen = "0A"
	s := bufio.NewScanner(r)
	for first := true; s.Scan(); first = false {
		f := strings.Fields(s.Text())
		if first || len(f) < 4 || f[3] != stateListen {
			continue
		}
		host, port, ok := strings.Cut(f[1], ":")
		raw, err := hex.DecodeString(host)
		n, err2 := strconv.ParseUint(port, 16, 16)
		if err := errors.Join(err, err2); err != nil || !ok || len(raw) != 4 && len(raw) != 16 {
			return fmt.Errorf("cannot read what listens: %q", s.Text())
		}
		// Words of 32 bits, each in the order of this machine.
		for k := 0; k < len(raw); k += 4 {
			binary.BigEndian.PutUint32(raw[k:], binary.NativeEndian.Uint32(raw[k:]))
		}
		if a, _ := netip.AddrFromSlice(raw); !a.Unmap().IsLoopback() {
			ports[uint16(n)] = true
		}
	}
	return s.Err()
}

// checkResolver asks the resolver on this node for the node itself.
func checkResolver(ctx context.Context, d node.Document) node.Check {
	ctx, cancel := context.WithTimeout(ctx, resolveFor)
	defer cancel()
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:53")
	}}
	name := d.Node + "." + d.Provider
	if _, err := r.LookupNetIP(ctx, "ip", name+"."); err != nil {
		return node.Check{Name: "resolver", State: node.CheckFail, Text: err.Error()}
	}
	return node.Check{Name: "resolver", State: node.CheckOK, Text: "it knows " + name}
}
