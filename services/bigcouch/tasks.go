package bigcouch

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A task is something that goes on for longer than a moment, as _active_tasks
// shows it: members are those of its type.
type task struct {
	id      uint64
	members map[string]any
}

// tasks are those of a node.
type tasks struct {
	mu   sync.Mutex // Guards what follows.
	last uint64
	m    map[uint64]*task
}

// begin enters a task. The caller calls end.
func (t *tasks) begin(kind string, members map[string]any) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[uint64]*task{}
	}
	t.last++
	now := time.Now().Unix()
	one := &task{t.last, map[string]any{"type": kind, "started_on": now, "updated_on": now}}
	maps.Copy(one.members, members)
	t.m[one.id] = one
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.m, one.id)
	}
}

// list returns copies of the tasks, in the order in which they began.
func (t *tasks) list() []map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []map[string]any{}
	for _, one := range slices.SortedFunc(maps.Values(t.m), func(a, b *task) int { return cmp.Compare(a.id, b.id) }) {
		list = append(list, maps.Clone(one.members))
	}
	return list
}

func (c *call) activeTasks() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	list := append(c.tasks.list(), c.repl.tasks()...)
	for _, one := range list {
		one["node"] = c.name()
	}
	c.reply(http.StatusOK, list)
	return nil
}
