package webapp

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

const (
	maxForm     = 64 << 10 // Bytes of a form.
	maxSubject  = 200      // Characters.
	maxEmail    = 254
	maxComment  = 8000
	maxComments = 100 // Of a ticket.
)

// code is how tickets are named: 40 random bits in base 32, without the
// letters that look like digits.
var code = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz")

type ticketForm struct{ Subject, Email, Body string }

// newTicket shows an empty form.
func (s *site) newTicket(w http.ResponseWriter, _ *http.Request) {
	s.ticketForm(w, http.StatusOK, ticketForm{}, nil)
}

func (s *site) ticketForm(w http.ResponseWriter, status int, form ticketForm, errs []string) {
	s.render(w, status, "new", struct {
		view
		Form   ticketForm
		Errors []string
	}{s.view("support"), form, errs})
}

// readForm reads a posted form within its limit.
func (s *site) readForm(r *http.Request, l *limiter) error {
	if ok, _ := l.allow(network(remote(r.RemoteAddr))); !ok {
		return problem.Limit
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return problem.Invalid.Errorf("malformed form")
	}
	return nil
}

// createTicket stores a question and leads to its page.
func (s *site) createTicket(w http.ResponseWriter, r *http.Request) {
	if err := s.readForm(r, s.limits.ticket); err != nil {
		s.errorPage(w, err)
		return
	}
	form := ticketForm{
		Subject: strings.Join(strings.Fields(r.PostFormValue("subject")), " "),
		Email:   strings.TrimSpace(r.PostFormValue("email")),
		Body:    cleanText(r.PostFormValue("body")),
	}
	if errs := form.check(); len(errs) > 0 {
		s.ticketForm(w, http.StatusUnprocessableEntity, form, errs)
		return
	}
	id, err := s.storeTicket(r.Context(), form)
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	http.Redirect(w, r, "/tickets/"+id+"?new", http.StatusSeeOther)
}

func cleanText(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
}

func (f ticketForm) check() []string {
	var errs []string
	if f.Subject == "" || utf8.RuneCountInString(f.Subject) > maxSubject || !utf8.ValidString(f.Subject) {
		errs = append(errs, "The subject is missing or too long.")
	}
	if at := strings.IndexByte(f.Email, '@'); f.Email != "" && (at < 1 || at == len(f.Email)-1 || len(f.Email) > maxEmail || strings.ContainsAny(f.Email, " \t\r\n")) {
		errs = append(errs, "The e-mail address is not one.")
	}
	if msg := checkComment(f.Body); msg != "" {
		errs = append(errs, msg)
	}
	return errs
}

func checkComment(body string) string {
	if body == "" || utf8.RuneCountInString(body) > maxComment || !utf8.ValidString(body) {
		return "The text is missing or too long."
	}
	return ""
}

func (s *site) storeTicket(ctx context.Context, form ticketForm) (id string, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	for range tries {
		var b [5]byte
		rand.Read(b[:]) // Never fails.
		id = code.EncodeToString(b[:])
		err = s.st.Tickets.Create(ctx, &record.Ticket{
			ID: id, Type: "Ticket",
			Subject: form.Subject, Email: form.Email, Open: true,
			Comments:  []record.Comment{{PostedAt: now, Body: form.Body}},
			CreatedAt: now, UpdatedAt: now,
		})
		if !errors.Is(err, problem.Exist) {
			break
		}
	}
	return id, err
}

// findTicket leads from a typed code to its page.
func (s *site) findTicket(w http.ResponseWriter, r *http.Request) {
	id, ok := parseCode(r.URL.Query().Get("code"))
	if !ok {
		s.errorPage(w, problem.NotExist)
		return
	}
	http.Redirect(w, r, "/tickets/"+id, http.StatusSeeOther)
}

// parseCode reads a code as people type it.
func parseCode(s string) (id string, ok bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.NewReplacer("-", "", " ", "", "o", "0", "i", "1", "l", "1").Replace(s)
	b, err := code.DecodeString(s)
	return s, err == nil && len(b) == 5
}

// ticket returns the ticket that the path names. Codes could be guessed at,
// so looking is limited.
func (s *site) ticket(r *http.Request) (*record.Ticket, error) {
	if ok, _ := s.limits.lookup.allow(network(remote(r.RemoteAddr))); !ok {
		return nil, problem.Limit
	}
	id, ok := parseCode(r.PathValue("code"))
	if !ok {
		return nil, problem.NotExist
	}
	return s.st.Tickets.ByID(r.Context(), id)
}
