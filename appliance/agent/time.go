package agent

import (
	"encoding/json"
	"net/http"

	"leap.example/services/protocol/problem"
)

// serveTime says what the node knows of the time; by POST it has it learn it
// anew first.
func (a *Agent) serveTime(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		a.log.InfoContext(r.Context(), "an operator has the clock set")
		if err := a.parts.ClockSet(r.Context()); err != nil {
			return problem.Unavailable.Errorf("the clock is as it was: %w", err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(a.parts.ClockState())
}
