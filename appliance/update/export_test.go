package update

// SetDisk has an updater keep its files by f, given how it would.
func (u *Updater) SetDisk(f func(write func(path string, data []byte) error) func(path string, data []byte) error) {
	u.disk = f(u.disk)
}

// Beyond is what a release on trial has to see.
var Beyond = beyond
