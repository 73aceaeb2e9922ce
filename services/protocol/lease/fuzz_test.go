package lease_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// fuzz lets parse read anything. What it accepts is written so that it reads
// the same.
func fuzz[T any](f *testing.F, parse func([]byte) (T, error)) {
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parse(data)
		if err != nil {
			if !errors.Is(err, problem.Invalid) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, addrs); d != "" {
			t.Error(d)
		}
	})
}

func FuzzRequest(f *testing.F) {
	data, _ := json.Marshal(lease.Request{WGPublicKey: publicKey(f), Want: lease.Want{IPv6: true, Transport: lease.UDP2TCP}})
	f.Add(data)
	f.Add([]byte(`{"wg_public_key":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	fuzz(f, lease.ParseRequest)
}

func FuzzLease(f *testing.F) {
	data, _ := json.Marshal(good(f))
	f.Add(data)
	f.Add(bytes.Replace(data, []byte("udp2tcp"), []byte("pigeon"), 1))
	fuzz(f, lease.ParseLease)
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"load":3,"peers_bucket":64}`))
	fuzz(f, lease.ParseStatus)
}

// FuzzFrames: a stream is cut into datagrams that, framed again, are the part
// of the stream that was read.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 1, 7, 0, 2, 8, 9})
	f.Add([]byte{0, 1, 7, 0, 0})
	f.Add([]byte{255, 255})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		buf := make([]byte, lease.MaxDatagram)
		var again []byte
		for {
			n, err := lease.ReadFrame(r, buf)
			if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, problem.Invalid) {
					t.Errorf("refused with %v", err)
				}
				if err == io.EOF && len(again) != len(stream) {
					t.Errorf("%d of %d bytes at the end", len(again), len(stream))
				}
				break
			}
			if again, err = lease.AppendFrame(again, buf[:n]); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(stream, again) {
			t.Error("framed otherwise")
		}
	})
}
