package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// killNode kills one of several database nodes, the next one each time, once all
// are well again from the time before. "leapd dev" starts it again; until then,
// and until another one leads what it led, the others do the work.
func (s *scene) killNode() error {
	nodes := s.at.Databases
	if len(nodes) == 0 {
		return nil
	}
	if err := s.Until("all database nodes are well", time.Minute, s.nodesAreWell); err != nil {
		return err
	}
	d := nodes[s.kills%len(nodes)]
	s.kills++
	if err := kill(d.PIDFile); err != nil {
		return fmt.Errorf("killing database node %s: %w", d.Name, err)
	}
	return nil
}

// errBetween is a process that has ended, and is being started again.
var errBetween = errors.New("it does not run at the moment")

// kill kills the process of "leapd dev" whose number is in a file. errBetween:
// there is none to kill.
func kill(pidFile string) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	if len(text) == 0 { // Being written.
		return errBetween
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 2 {
		return fmt.Errorf("%s: %q is no process", pidFile, text)
	}
	err = syscall.Kill(pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return errBetween
	}
	return err
}

// keepDead kills a process that may have been killed a moment ago.
func keepDead(pidFile string) error {
	if err := kill(pidFile); !errors.Is(err, errBetween) {
		return err
	}
	return nil
}

// nodesAreWell returns an error unless each node has all its shards.
func (s *scene) nodesAreWell() error {
	password, err := os.ReadFile(s.at.CouchPasswordFile)
	if err != nil {
		return err
	}
	for _, d := range s.at.Databases {
		req, err := http.NewRequestWithContext(s.Ctx, http.MethodGet, d.URL+"/_node/_local/_cluster", nil)
		if err != nil {
			return err
		}
		req.SetBasicAuth("admin", strings.TrimSpace(string(password)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		var got struct {
			Shards []struct {
				Shard  int
				Leader string
				Ready  bool
			}
		}
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if len(got.Shards) == 0 {
			return fmt.Errorf("node %s: status %d", d.Name, resp.StatusCode)
		}
		for _, sh := range got.Shards {
			if !sh.Ready || sh.Leader == "" {
				return fmt.Errorf("node %s: shard %d is not ready", d.Name, sh.Shard)
			}
		}
	}
	return nil
}
