package soledad

// Hook registers f for documents of the type typ. It is called in the
// transaction of every change, local or received, after the change, deletions
// included; an error undoes a local transaction, and puts a received document
// into quarantine. f may change other documents, but not call Update.
func (s *Store) Hook(typ string, f func(tx *Tx, d Doc) error) {
	s.hooks[typ] = append(s.hooks[typ], f)
}

// Merge registers the rule for conflicts of documents of the type typ. f gets
// this device's version and the server's, either of which may be deleted, and
// returns the body, or the deletion, that replaces both. It must depend on its
// arguments alone, so that all devices would merge alike; it must not keep
// them. If it fails, the server's version is in force and this device's is
// kept; the next Sync asks again. Without a rule the later writer wins.
func (s *Store) Merge(typ string, f func(mine, theirs Doc) (Doc, error)) {
	s.merges[typ] = f
}

// Subscribe returns a channel that gets a value after commits that changed
// documents; several commits may be one value. cancel ends it.
func (s *Store) Subscribe() (ch <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs[c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs, c)
	}
}

// signal wakes the subscribers.
func (s *Store) signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.subs {
		select {
		case c <- struct{}{}:
		default: // It has one already.
		}
	}
}
