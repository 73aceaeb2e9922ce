package tufclient

import (
	"errors"
	"io/fs"
	"syscall"
)

// What a check, a lookup or a download refuses, wrapped. All of them leave alone
// what was trusted and what is installed.
var (
	// ErrExpired is metadata past their time: a source that is stale or hides
	// something, or a clock that is ahead.
	ErrExpired = errors.New("the metadata have expired: wait for the repository or the source to be renewed, and see whether the clock is right")
	// ErrRollback is an older version than one that was seen before.
	ErrRollback = errors.New("the source offers something older than what is known: try another source")
	// ErrThreshold is metadata that too few of the keys in force have signed.
	ErrThreshold = errors.New("too few valid signatures: do not use this source")
	// ErrMixed is metadata that do not belong together.
	ErrMixed = errors.New("the metadata do not belong together: the source is being changed, or mixes old and new: try again later")
	// ErrMalformed is metadata that cannot be what they should be.
	ErrMalformed = errors.New("the metadata are malformed: do not use this source")
	// ErrLength is more or fewer bytes than are vouched for.
	ErrLength = errors.New("the length is not the one that was vouched for: try another source")
	// ErrHash is other bytes than are vouched for.
	ErrHash = errors.New("the content is not the one that was vouched for: do not use this source")
	// ErrSlow is a source that sends too little in the time that it has.
	ErrSlow = errors.New("the source is too slow: try another source")
	// ErrRedirect is a source that sends elsewhere than to itself.
	ErrRedirect = errors.New("the source redirects to another place: name that place instead, if it is meant")
	// ErrEncoding is a source that encodes what it sends.
	ErrEncoding = errors.New("the source sends an encoded answer: serve the files as they are")
	// ErrRange is a source that cannot go on in the middle of a file.
	ErrRange = errors.New("the source sends whole files only")
	// ErrUnlisted is a target that nobody who may vouches for.
	ErrUnlisted = errors.New("no signer lists this target")
	// ErrDisagreement is a target that the repositories do not agree about.
	ErrDisagreement = errors.New("the repositories do not agree about this target: wait until each of them lists it")
	// ErrDepth is more delegations than are followed.
	ErrDepth = errors.New("too many delegated roles: the target cannot be looked up")
	// ErrRoots is more new roots than are followed in one check. They are kept:
	// the next check goes on.
	ErrRoots = errors.New("too many new roots for one check: check again")
	// ErrNothing is that there is no release that the machine can take.
	ErrNothing = errors.New("there is no newer release for this machine")
	// ErrSpace is that the disk is full.
	ErrSpace = errors.New("the disk is full: make room")
	// ErrState is that what was trusted last cannot be read.
	ErrState = errors.New("what was trusted last cannot be read: remove the file to begin again with the root of the program")
)

// absent is that a source does not have a file.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// full wraps errors of a full disk in [ErrSpace].
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(ErrSpace, err)
	}
	return err
}
