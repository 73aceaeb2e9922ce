package lease

import (
	"encoding/json"

	"leap.example/services/protocol/problem"
)

// MaxLoad is the greatest Load: the gateway has as many clients as it bears well,
// or refuses new leases soon.
const MaxLoad = 7

// A Status tells how busy a gateway is, so coarsely that it tells nothing
// about any client.
type Status struct {
	Load        int `json:"load"`         // 0 (idle) to MaxLoad.
	PeersBucket int `json:"peers_bucket"` // Leases, rounded up to a bucket: see Bucket.
}

// ParseStatus reads a Status; errors are Invalid.
func ParseStatus(data []byte) (Status, error) {
	var s Status
	if len(data) > MaxReply || json.Unmarshal(data, &s) != nil || s.Load < 0 || s.Load > MaxLoad || s.PeersBucket < 0 {
		return Status{}, problem.Invalid.Errorf("malformed gateway status")
	}
	return s, nil
}

// Bucket rounds a number of leases up to 0, 16, 64, 256, 1024, and so on.
func Bucket(n int) int {
	if n <= 0 {
		return 0
	}
	b := 16
	for b < n && b < 1<<24 {
		b *= 4
	}
	return b
}

// Load tells how full something is of which used of total places are taken.
func Load(used, total int) int {
	if total <= 0 || used >= total {
		return MaxLoad
	}
	return max(0, used*(MaxLoad+1)/total)
}
