package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/client/caller"
	"leap.example/client/vpn/policy"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// A Config is where a Server listens, and to whom.
type Config struct {
	Socket string   // Required. Its directory is made if it is missing.
	UIDs   []uint32 // Users that are answered beside root.
	State  string   // Directory that survives a restart of the machine: BootFile's. Required.
	// Program is told to who asks.
	Program Program
}

// allows reports whether a user is answered.
func (c Config) allows(uid uint32) bool { return uid == 0 || slices.Contains(c.UIDs, uid) }

// BootFile is the name, in the State directory, of the file whose existence
// blocks all at the start of the machine.
const BootFile = "block-at-boot"

// A Server answers callers. It is a daemon.Service.
type Server struct {
	cfg  Config
	path policy.Path
	log  *slog.Logger

	epoch uint64 // Of this process, by chance.

	quiet     sync.Mutex // Guards strangers and said.
	strangers int        // Refused since something was said about them.
	said      time.Time

	mu sync.Mutex // Held while a policy is applied, and no longer than workTimeout.
}

// NewServer returns a server that has path do what callers ask. It does not
// close it.
func NewServer(cfg Config, path policy.Path, log *slog.Logger) *Server {
	return &Server{cfg: cfg, path: path, log: log, epoch: 1 + rand.Uint64N(1<<53-1)} // A number that JSON keeps.
}

// Run listens and serves until ctx is done. It fails when another helper answers
// on the socket.
func (s *Server) Run(ctx context.Context) error {
	ln, err := s.listen()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var callers sync.WaitGroup
	defer callers.Wait()
	free := make(chan struct{}, maxCallers)
	for {
		free <- struct{}{}
		c, err := ln.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		callers.Go(func() {
			defer func() { <-free }()
			defer c.Close()
			s.serve(ctx, c)
		})
	}
}

func (s *Server) listen() (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(s.cfg.Socket), 0o755); err != nil {
		return nil, err
	}
	at := &net.UnixAddr{Net: "unixpacket", Name: s.cfg.Socket}
	if c, err := net.DialUnix(at.Net, nil, at); err == nil {
		c.Close()
		return nil, fmt.Errorf("%w: another helper answers on %s", daemon.ErrFatal, s.cfg.Socket)
	}
	os.Remove(s.cfg.Socket) // One that was killed leaves its socket behind.
	ln, err := net.ListenUnix(at.Net, at)
	if err != nil {
		return nil, err
	}
	// Who is answered is the kernel's word, not the file's mode.
	if err := os.Chmod(s.cfg.Socket, 0o666); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// serve answers one question.
func (s *Server) serve(ctx context.Context, c *net.UnixConn) {
	uid, err := caller.Of(c)
	if err != nil || !s.cfg.allows(uid) {
		s.refused(uid, err)
		return
	}
	r := reply{Version: Version, Program: s.cfg.Program}
	file, err := s.answer(ctx, c, &r)
	if err != nil {
		r.Problem = &problem.Document{Type: problem.KindOf(err), Detail: err.Error()} // The caller is the one it is about.
		if r.Problem.Type == problem.Internal {
			s.log.Error("a command failed", "err", err)
		}
	}
	var rights []byte
	if file != nil {
		defer file.Close()
		rights = unix.UnixRights(int(file.Fd()))
	}
	data, err := json.Marshal(r)
	if err == nil {
		err = c.SetWriteDeadline(time.Now().Add(askTimeout))
	}
	if err == nil {
		_, _, err = c.WriteMsgUnix(data, rights, nil)
	}
	if err != nil {
		s.log.Debug("a caller did not wait for its answer", "err", err)
	}
}

// refused writes about callers that may not ask, at most once a minute: they must
// not fill the log.
func (s *Server) refused(uid uint32, err error) {
	s.quiet.Lock()
	defer s.quiet.Unlock()
	s.strangers++
	if time.Since(s.said) < refusedPause {
		return
	}
	s.log.Warn("callers were refused", "last_uid", uid, "callers", s.strangers, "err", err)
	s.said, s.strangers = time.Now(), 0
}

// answer does what the caller asks.
func (s *Server) answer(ctx context.Context, c *net.UnixConn, r *reply) (*os.File, error) {
	data, files, err := receive(c, askTimeout)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		closeAll(files)
		return nil, problem.Invalid.Errorf("a question to the helper has no file descriptors")
	}
	q, err := parseRequest(data)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	switch {
	case q.Apply != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, s.path.Apply(ctx, *q.Apply)
	case q.Stats != nil:
		stats, err := s.path.Stats(ctx)
		stats.Epoch = s.epoch
		r.Stats = &stats
		return nil, err
	case q.Dial != nil:
		conn, err := s.path.Dial(ctx, q.Dial.Network, q.Dial.Addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return conn.(interface{ File() (*os.File, error) }).File()
	case q.Boot != nil:
		return nil, s.boot(q.Boot.Block)
	}
	return nil, nil // Version: it is in every reply.
}

// boot makes or removes the file that systemd looks for.
func (s *Server) boot(block bool) error {
	path := filepath.Join(s.cfg.State, BootFile)
	if !block {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return syncDir(s.cfg.State)
	}
	if err := os.MkdirAll(s.cfg.State, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return syncDir(s.cfg.State)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	defer d.Close()
	return d.Sync()
}

// receive reads one message, and the file descriptors that came with it.
func receive(c *net.UnixConn, timeout time.Duration) ([]byte, []int, error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, nil, err
	}
	data, rights := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, oob, flags, _, err := c.ReadMsgUnix(data, rights)
	if err != nil {
		return nil, nil, problem.Unavailable.Errorf("no message on the helper's socket: %w", err)
	}
	var files []int
	messages, err := unix.ParseSocketControlMessage(rights[:oob])
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			files = append(files, fds...)
		}
	}
	if err != nil || n == 0 || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		closeAll(files)
		return nil, nil, problem.Invalid.Errorf("a message on the helper's socket has 1 to %d bytes", maxMessage)
	}
	return data[:n], files, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}
