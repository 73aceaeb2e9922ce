package bigcouch

import "strconv"

// normal answers with what there is.
func (f *feed) normal() error {
	f.open()
	v := f.view()
	defer v.Close()
	if err := f.batch(v); err != nil {
		return err
	}
	pending, err := f.pending(v)
	if err != nil {
		return err
	}
	return f.close(pending)
}

// close ends the answer of any feed.
func (f *feed) close(pending int) error {
	return f.finish(strconv.Quote(seqString(f.db, f.since)), strconv.Itoa(pending))
}

// longpoll answers when there is a change, or after the timeout.
func (f *feed) longpoll() error {
	f.open()
	if err := f.follow(func() bool { return f.rows > 0 }); err != nil {
		return err
	}
	return f.close(0)
}

// continuous writes each change until the timeout passes without one.
func (f *feed) continuous() error {
	f.open()
	if err := f.follow(func() bool { return f.limit == 0 }); err != nil {
		return err
	}
	return f.close(0)
}

// follow writes changes as they come until done, the timeout, the end of the
// database or of the node. apply wakes it; it does not poll.
func (f *feed) follow(done func() bool) error {
	if f.db.Part == 0 { // Else it is for another feed, which is counted.
		f.metrics.feeds.Inc()
		defer f.metrics.feeds.Dec()
	}
	for f.limit != 0 {
		changed, release := f.store.Changed(f.db)
		before := f.rows
		gone, err := f.look()
		if err != nil || gone || done() {
			release()
			return err
		}
		if f.rows > before || before == 0 {
			err = f.flush()
		}
		if err == nil {
			gone, err = f.wait(changed)
		}
		release()
		if err != nil || gone {
			return err
		}
	}
	return nil
}

// look writes what there is now. gone means that the database is no more.
func (f *feed) look() (gone bool, err error) {
	v := f.view()
	defer v.Close()
	info, err := v.Info(f.db)
	if err != nil || info == nil {
		return true, err
	}
	return false, f.batch(v)
}
