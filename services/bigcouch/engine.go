package bigcouch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// ErrEngine means that the store was written as part of a cluster and the
// configuration is of a node by itself.
var ErrEngine = errors.New("the store belongs to a cluster: name it in the configuration, or give up the other nodes with \"leapd couch recover\"")

// An engine orders the writes of a node: by itself, or with others.
type engine struct {
	shards int // Of documents; not counting the catalogue.
	log    shard.Log
	set    *group.Set // Nil on a node by itself.
	run    func(ctx context.Context) error
	close  func() // After run has ended.
}

// open returns the engine that the configuration asks for.
func (n *node) open(ctx context.Context) (*engine, error) {
	if n.cfg.Cluster == nil {
		return alone(n.store)
	}
	return together(ctx, n.cfg.Cluster, n.store, n)
}

// recoverAll does on a node by itself what leaders do in a cluster.
func (n *node) recoverAll(ctx context.Context) error {
	if n.engine.set != nil {
		return nil
	}
	for i := range uint16(n.engine.shards + 1) {
		if err := n.raise(ctx, i); err != nil {
			return err
		}
		if err := n.recover(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// raise raises the version of a shard's entries to that of this program.
func (n *node) raise(ctx context.Context, shardNo uint16) error {
	h, err := n.store.Head(shardNo)
	if most := uint64(n.store.EntryVersion()); err == nil && h.Version < most {
		_, err = n.propose(ctx, shardNo, store.OpID{}, store.RaiseVersion{Version: most, Since: h.Since})
	}
	return err
}

// alone returns the engine of a node by itself.
func alone(st *store.Store) (*engine, error) {
	for i := range uint16(shards + 1) {
		h, err := st.Head(i)
		if err != nil {
			return nil, err
		}
		if len(h.Members) > 0 {
			return nil, ErrEngine
		}
	}
	local := shard.NewLocal(st, shards+1)
	return &engine{shards: shards, log: local, run: local.Run, close: func() {}}, nil
}

// together returns the engine of a node of a cluster, whose peer port it opens.
// n serves the requests of other nodes.
func together(ctx context.Context, c *ConfigCluster, st *store.Store, n *node) (*engine, error) {
	addrs, names := map[string]string{}, []string{}
	for _, node := range c.Nodes {
		addrs[node.Name] = node.Peer
		names = append(names, node.Name)
	}
	cert, roots, err := credentialsOf(c)
	if err != nil {
		return nil, err
	}
	port, err := peer.New(c.Node, addrs, cert, roots, n.log)
	if err != nil {
		return nil, err
	}
	set, err := group.New(group.Config{
		Self: c.Node, Nodes: names, Voters: c.Placement, TrailingLogs: c.TrailingLogs, SnapshotThreshold: c.SnapshotThreshold,
		Heartbeat: c.heartbeat(),
	}, st, port, n.log, n.lead)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	// The port lives longer than the groups: they hand over when they stop.
	portCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var portErr error
	e := &engine{shards: set.Shards() - 1, log: set, set: set}
	e.run = func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		mux := http.NewServeMux()
		mux.Handle(group.Prefix, set.Handler())
		wg.Go(func() {
			portErr = port.Serve(portCtx, ln, peers{n, mux, port})
			cancel(portErr)
		})
		err := set.Run(ctx)
		if err == nil && context.Cause(ctx) != nil && portCtx.Err() == nil && portErr != nil {
			err = portErr
		}
		return err
	}
	e.close = func() {
		stop()
		_ = ln.Close() // When it was never served.
		wg.Wait()
	}
	n.port = port
	return e, nil
}

// credentialsOf reads the certificates of a node.
func credentialsOf(c *ConfigCluster) (cert tls.Certificate, roots *x509.CertPool, err error) {
	if cert, err = tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
		return cert, nil, fmt.Errorf("cluster: certificate of this node: %w", err)
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return cert, nil, fmt.Errorf("cluster: certificate authority: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return cert, nil, fmt.Errorf("cluster: %s has no certificate", c.CAFile)
	}
	return cert, roots, nil
}

// lead does what the leader of a shard has to do when it becomes that.
func (n *node) lead(ctx context.Context, shardNo uint16) {
	if !n.gate.TryRLock() {
		return // Stopping.
	}
	defer n.gate.RUnlock()
	if err := n.recover(ctx, shardNo); err != nil && ctx.Err() == nil {
		n.log.Warn("unfinished work stays unfinished until the next leader", "shard", shardNo, "err", err)
	}
}
