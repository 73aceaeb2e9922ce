package node

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/qemu/cluster"
	"leap.example/tests/lab"
)

// frontPage asks for the provider's page, by its name, as a browser does.
func frontPage(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	tr := &http.Transport{DialContext: l.Dial, TLSClientConfig: l.Op.Web(), DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+domain+"/", nil)
	check(t, err)
	resp, err := tr.RoundTrip(req)
	check(t, err)
	defer func() { _ = resp.Body.Close() }() // Only read.
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), title) {
		t.Errorf("%s, %v:\n%s", resp.Status, err, body)
	}
}

// What finds out that no port answers.
const (
	scanners = 4096
	scanWait = time.Second // A port that is open answers a machine on its LAN within that.
)

// scan tries all ports of TCP: those of the document have to answer, and no
// other may.
func scan(t *testing.T, l *lab.Lab) {
	t.Helper()
	targets, _ := l.Op.Targets(nodeName)
	want := map[int]bool{int(targets[0].Document.Agent.Port): true}
	for _, p := range cluster.PublicPorts(targets[0].Document) {
		want[int(p)] = true
	}
	ports, open := make(chan int), make(chan int)
	var wg sync.WaitGroup
	for range scanners {
		wg.Go(func() {
			for p := range ports {
				wait := scanWait
				if want[p] {
					wait = lab.Patience
				}
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				c, err := l.Dial(ctx, "tcp", net.JoinHostPort(nodeIP, strconv.Itoa(p)))
				cancel()
				if err == nil {
					_ = c.Close() // It was only to be opened.
					open <- p
				}
			}
		})
	}
	go func() {
		for p := 1; p <= 65535; p++ {
			ports <- p
		}
		close(ports)
		wg.Wait()
		close(open)
	}()
	var got []int
	for p := range open {
		got = append(got, p)
	}
	slices.Sort(got)
	if wanted := slices.Sorted(maps.Keys(want)); !slices.Equal(got, wanted) {
		t.Errorf("the ports %v are open, want %v", got, wanted)
	}
	t.Log("          ", got)
}
