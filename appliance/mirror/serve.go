package mirror

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"leap.example/appliance/node"
	"leap.example/updater/tufrepo"
)

// lookEvery is how often is looked where to serve, beside when something wakes it:
// the address of the mesh may not be there yet.
const lookEvery = 5 * time.Second

// serve serves the copies where the document says, until ctx is done.
func (k *Keeper) serve(ctx context.Context) {
	var now netip.AddrPort
	stop := func() {}
	defer func() { stop() }()
	for {
		if want := where(k.cfg.Document()); want != now {
			stop()
			now, stop = netip.AddrPort{}, func() {}
			if want.IsValid() {
				if ended, err := k.listen(ctx, want); err == nil {
					now, stop = want, ended
				} else {
					k.cfg.Log.DebugContext(ctx, "copies of releases cannot be served yet", "err", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-k.look:
		case <-time.After(lookEvery):
		}
	}
}

// where the copies are served by a document. None: nowhere.
func where(d node.Document) (at netip.AddrPort) {
	if d.Updates != nil && d.Updates.Mirror != nil && d.Mesh != nil {
		at = netip.AddrPortFrom(d.Mesh.Address.Addr(), d.Updates.Mirror.Port)
	}
	return at
}

// listen begins to serve at an address; stop ends it.
func (k *Keeper) listen(ctx context.Context, at netip.AddrPort) (stop func(), err error) {
	if err := os.MkdirAll(k.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		Handler:     tufrepo.Serve(k.cfg.Dir, vendor, director),
		ReadTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(k.cfg.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(ln) // It ends with Close.
	}()
	return func() {
		_ = s.Close() // Nobody waits for what is cut off.
		<-ended
	}, nil
}
