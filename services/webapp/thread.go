package webapp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// A said is a comment as a page shows it.
type said struct {
	Staff          bool
	Machine, Human string // When.
	Body           string
}

// showTicket shows a question and what was answered.
func (s *site) showTicket(w http.ResponseWriter, r *http.Request) {
	t, err := s.ticket(r)
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	s.ticketPage(w, r, http.StatusOK, t, "", nil)
}

func (s *site) ticketPage(w http.ResponseWriter, r *http.Request, status int, t *record.Ticket, body string, errs []string) {
	s.render(w, status, "ticket", struct {
		view
		Ticket   *record.Ticket
		Comments []said
		New      bool
		Body     string
		Errors   []string
	}{s.view("support"), t, visible(t.Comments), r.URL.Query().Has("new"), body, errs})
}

// visible returns what the author of a ticket may see.
func visible(comments []record.Comment) []said {
	var all []said
	for _, c := range comments {
		if c.Private {
			continue
		}
		at := c.PostedAt.UTC()
		all = append(all, said{
			Staff:   c.PostedBy != "",
			Machine: at.Format(time.RFC3339),
			Human:   at.Format("2 January 2006, 15:04 UTC"),
			Body:    c.Body,
		})
	}
	return all
}

// answerTicket adds a text of the author, closes the ticket or opens it again.
func (s *site) answerTicket(w http.ResponseWriter, r *http.Request) {
	if err := s.readForm(r, s.limits.ticket); err != nil {
		s.errorPage(w, err)
		return
	}
	t, err := s.ticket(r)
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	body, closes := cleanText(r.PostFormValue("body")), r.PostFormValue("action") == "close"
	if body != "" || !closes {
		if msg := checkComment(body); msg != "" {
			s.ticketPage(w, r, http.StatusUnprocessableEntity, t, body, []string{msg})
			return
		}
	}
	if err := s.appendComment(r.Context(), t, body, closes); err != nil {
		s.failPage(w, r, err)
		return
	}
	http.Redirect(w, r, "/tickets/"+t.ID, http.StatusSeeOther)
}

// appendComment stores what the author said. t was just read; when it was
// changed since, it is read again.
func (s *site) appendComment(ctx context.Context, t *record.Ticket, body string, closes bool) error {
	for range tries {
		if len(t.Comments) >= maxComments {
			return problem.Limit
		}
		now := time.Now().UTC().Truncate(time.Second)
		if body != "" {
			t.Comments = append(t.Comments, record.Comment{PostedAt: now, Body: body})
		}
		t.Open, t.UpdatedAt = !closes, now
		err := s.st.Tickets.Update(ctx, t)
		if !errors.Is(err, problem.Stale) {
			return err
		}
		if t, err = s.st.Tickets.ByID(ctx, t.ID); err != nil {
			return err
		}
	}
	return problem.Unavailable
}

// failPage shows err and logs what is our fault.
func (s *site) failPage(w http.ResponseWriter, r *http.Request, err error) {
	if kind := problem.KindOf(err); kind == problem.Internal || kind == problem.Unavailable {
		s.log.WarnContext(r.Context(), "page failed", "route", r.Pattern, "err", err)
	}
	s.errorPage(w, err)
}
