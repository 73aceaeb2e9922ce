package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"testing"
)

// A wire is what went between nodes, in all frames that a LAN has carried.
type wire struct {
	allowed map[string]bool   // What nodes may say to each other: "udp/51820", "tcp/443".
	said    map[string]int    // Frames, by that.
	meshed  map[[2]string]int // Frames of the mesh, by pair of nodes.
	alien   []string          // What they may not say.
}

// Of Ethernet and IP.
const (
	etherLen  = 14
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// readPcap gives each frame of a file to f.
func readPcap(path string, f func(frame []byte)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // Only read.
	r := bufio.NewReaderSize(file, 1<<20)
	if _, err := r.Discard(24); err != nil {
		return err
	}
	for head := make([]byte, 16); ; {
		if _, err := io.ReadFull(r, head); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		frame := make([]byte, binary.LittleEndian.Uint32(head[8:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		f(frame)
	}
}

// take takes a frame in. nodes are the names by address.
func (w *wire) take(nodes map[netip.Addr]string, frame []byte) {
	kind := binary.BigEndian.Uint16(frame[12:])
	if kind == etherIPv6 || kind == etherARP { // No node has an address of IPv6: it is how neighbours meet.
		return
	}
	if kind != etherIPv4 || len(frame) < etherLen+20 {
		w.alien = append(w.alien, fmt.Sprintf("a frame of type %#x", kind))
		return
	}
	ip := frame[etherLen:]
	head := int(ip[0]&15) * 4
	from, to := nodes[netip.AddrFrom4([4]byte(ip[12:16]))], nodes[netip.AddrFrom4([4]byte(ip[16:20]))]
	if from == "" || to == "" || ip[9] == protoICMP {
		return
	}
	what := fmt.Sprintf("protocol %d", ip[9])
	if fragment := binary.BigEndian.Uint16(ip[6:])&0x1fff != 0; fragment {
		what = "a fragment"
	} else if name := map[byte]string{protoTCP: "tcp", protoUDP: "udp"}[ip[9]]; name != "" && len(ip) >= head+4 {
		for _, port := range []uint16{binary.BigEndian.Uint16(ip[head+2:]), binary.BigEndian.Uint16(ip[head:])} {
			if what = fmt.Sprintf("%s/%d", name, port); w.allowed[what] {
				break
			}
		}
	}
	w.said[what]++
	if !w.allowed[what] {
		w.alien = append(w.alien, fmt.Sprintf("from %s to %s: %s", from, to, what))
	}
	if what == meshPort {
		pair := []string{from, to}
		slices.Sort(pair)
		w.meshed[[2]string{pair[0], pair[1]}]++
	}
}

// meshPort is where nodes have their mesh.
const meshPort = "udp/51820"

// wired reads what went between nodes: nothing but the mesh, agents, and what is
// for everybody.
func wired(t *testing.T, pcap string, allowed map[string]bool) {
	t.Helper()
	w := &wire{allowed: allowed, said: map[string]int{}, meshed: map[[2]string]int{}}
	nodes := map[netip.Addr]string{}
	for name, a := range addresses {
		nodes[netip.MustParseAddr(a)] = name
	}
	check(t, readPcap(pcap, func(frame []byte) { w.take(nodes, frame) }))
	if len(w.alien) > 0 {
		t.Errorf("%d frames went beside the mesh: %v", len(w.alien), w.alien[:min(10, len(w.alien))])
	}
	for k, a := range databases {
		for _, b := range databases[k+1:] {
			if w.meshed[[2]string{a, b}] < 100 {
				t.Errorf("%s and %s exchanged %d frames over the mesh", a, b, w.meshed[[2]string{a, b}])
			}
		}
	}
	t.Logf("           frames between nodes: %v", w.said)
}
