package bonafide

import "time"

// An InviteRequest asks a provider's own machine for invitations. It is not a
// part of the API that clients see.
type InviteRequest struct {
	Count int `json:"count"` // How many codes. Required.
	Uses  int `json:"uses"`  // Sign-ups that each is good for. Required.
	Days  int `json:"days"`  // That they are good for. 0: they stay good.
}

// Invites are codes that were made.
type Invites struct {
	Codes   []string  `json:"codes"`
	Expires time.Time `json:"expires,omitzero"`
}
