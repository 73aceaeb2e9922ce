// The guest is the init of the machines of tests/qemu: it takes its addresses
// from the kernel's command line (what the kernel does not know becomes the
// environment of init), and does over HTTP what it is asked to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("guest:", err)
	}
	// The end of init is a kernel panic.
}

func run() error {
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOEXEC|unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("mounting /dev: %w", err)
	}
	if err := address("lo", netip.MustParsePrefix("127.0.0.1/8")); err != nil {
		return err
	}
	for text := range strings.SplitSeq(os.Getenv("addrs"), ",") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		if err := address("eth0", p); err != nil {
			return err
		}
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, os.Getenv("dns"))
	}}
	failed := make(chan error)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /uptime", func(w http.ResponseWriter, _ *http.Request) {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, time.Duration(t.Nano()).String(), nil)
	})
	mux.HandleFunc("GET /clock", func(w http.ResponseWriter, _ *http.Request) { answer(w, time.Now().UTC().Format(time.RFC3339), nil) })
	mux.HandleFunc("GET /fetch", func(w http.ResponseWriter, r *http.Request) {
		within, err := time.ParseDuration(r.URL.Query().Get("within"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		text, err := fetch(r.URL.Query().Get("url"), within)
		answer(w, text, err)
	})
	mux.HandleFunc("GET /disk", func(w http.ResponseWriter, _ *http.Request) {
		text, err := read()
		answer(w, text, err)
	})
	mux.HandleFunc("PUT /disk", func(w http.ResponseWriter, r *http.Request) { answer(w, "", write(r.Body)) })
	mux.HandleFunc("POST /off", func(http.ResponseWriter, *http.Request) { failed <- unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) })
	mux.HandleFunc("POST /panic", func(http.ResponseWriter, *http.Request) { failed <- errors.New("as told") })
	server := &http.Server{Addr: ":80", Handler: mux, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	go func() { failed <- server.ListenAndServe() }()
	fmt.Println("guest: up")
	return <-failed
}

func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_, _ = io.WriteString(w, text) // Who asked sees that it is cut off.
}

func fetch(url string, within time.Duration) (string, error) {
	r, err := (&http.Client{Timeout: within}).Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }() // Only read.
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, b)
	}
	return string(b), err
}

// The first sector of the disk holds a text.
const (
	disk   = "/dev/vda"
	sector = 512
)

func read() (string, error) {
	f, err := os.Open(disk)
	if err != nil {
		return "", err
	}
	b := make([]byte, sector)
	_, err = io.ReadFull(f, b)
	return strings.TrimRight(string(b), "\x00"), errors.Join(err, f.Close())
}

// write writes a text durably.
func write(r io.Reader) error {
	b := make([]byte, sector)
	if _, err := io.ReadFull(r, b); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
