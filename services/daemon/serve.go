package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Serve serves ln until ctx is done, then gives requests in progress five
// seconds. It closes ln. It is the one way that HTTP is served here.
func Serve(ctx context.Context, ln net.Listener, hs *http.Server) error {
	if hs.ReadHeaderTimeout == 0 {
		hs.ReadHeaderTimeout = 5 * time.Second
	}
	// Cutting a connection does not end the context of a request whose body
	// nobody has read: this does.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	hs.BaseContext = func(net.Listener) context.Context { return base }
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if hs.Shutdown(grace) != nil {
			hs.Close() // Requests that outlive the grace are cut.
		}
	})
	err := hs.Serve(ln)
	if stop() {
		hs.Close() // Serve failed by itself: end what it had begun.
	} else {
		<-done
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving HTTP: %w", err)
}
