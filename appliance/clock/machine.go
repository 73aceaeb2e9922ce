package clock

import (
	"bytes"
	"context"
	"errors"
	"net"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"
)

// A machine is a clock and the servers that it can ask.
type machine interface {
	now() time.Time
	step(offset time.Duration) error
	slew(offset time.Duration) error
	ask(ctx context.Context, server string) (sample, error)
}

// linux is the machine that this runs on. It may set the clock only as root.
type linux struct{}

func (linux) now() time.Time { return time.Now() }

func (linux) step(offset time.Duration) error {
	ts, err := unix.TimeToTimespec(time.Now().Add(offset))
	if err != nil {
		return err
	}
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return err
	}
	return synchronized()
}

// offsetSingleshot is ADJ_OFFSET_SINGLESHOT of adjtimex(2): run faster or slower
// until the offset, in microseconds, is made up for.
const offsetSingleshot = 0x8001

func (linux) slew(offset time.Duration) error {
	if _, err := unix.Adjtimex(&unix.Timex{Modes: offsetSingleshot, Offset: offset.Microseconds()}); err != nil {
		return err
	}
	return synchronized()
}

// synchronized tells the kernel that its clock is right. It then sets the
// machine's own clock by it every 11 minutes, for the next start.
func synchronized() error {
	const status, maxError, estError = 0x10, 0x4, 0x8 // ADJ_STATUS, ADJ_MAXERROR, ADJ_ESTERROR
	_, err := unix.Adjtimex(&unix.Timex{Modes: status | maxError | estError})
	return err
}

// answerTime is how long an answer may take.
const answerTime = 3 * time.Second

func (linux) ask(ctx context.Context, server string) (sample, error) {
	return query(server, ntp.QueryOptions{
		Timeout: answerTime,
		Dialer: func(_, remote string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, answerTime)
			defer cancel()
			return new(net.Dialer).DialContext(ctx, "udp", remote)
		},
	})
}

// query asks a server, a host or host:port.
func query(server string, o ntp.QueryOptions) (sample, error) {
	o.Extensions = []ntp.Extension{guard{}}
	r, err := ntp.QueryWithOptions(server, o)
	if err != nil {
		return sample{}, err
	}
	if err := r.Validate(); err != nil {
		return sample{}, err
	}
	return sample{server, r.ClockOffset, max(r.RootDistance, leastWithin)}, nil
}

// guard looks at an answer before it is read: beevik/ntp v1.6.0 panics at an
// exponent of -128 (RFC 5905, 7.3: poll interval, precision).
type guard struct{}

func (guard) ProcessQuery(*bytes.Buffer) error { return nil }

func (guard) ProcessResponse(b []byte) error {
	if len(b) < 4 || b[2] == 0x80 || b[3] == 0x80 {
		return errors.New("the answer is malformed")
	}
	return nil
}
