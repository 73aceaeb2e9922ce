package couch

import (
	"context"
	"slices"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

const (
	// answerTimeout is how long RequestSMTP waits when its context has no
	// deadline.
	answerTimeout = 30 * time.Second
	// requestLife is after how long a request that nobody took back is removed.
	requestLife = time.Hour
	// withdrawTimeout is for taking a request back when its context is done.
	withdrawTimeout = 5 * time.Second
)

// requestDoc is a CertRequest as it is stored.
type requestDoc struct {
	record.CertRequest

	Answered bool `json:"answered"`
}

// RequestSMTP has the CA sign a certificate: it stores the request under its ID
// (random if empty), waits for the answer, and removes it. Invalid when the CA
// refuses, Unavailable when it does not answer until ctx is done, or within
// 30 s if ctx has no deadline.
func (s *Certificates) RequestSMTP(ctx context.Context, req record.CertRequest) (certPEM string, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerTimeout)
		defer cancel()
	}
	if req.ID == "" {
		req.ID = randomHex(16)
	}
	if !safeID(req.ID) {
		return "", problem.Invalid.Errorf("malformed request id")
	}
	req.Type, req.Rev, req.Cert, req.Error = "CertRequest", "", "", ""
	if req.CreatedAt.IsZero() {
		req.CreatedAt = s.db.db.now().UTC().Truncate(time.Second)
	}
	since, err := s.db.now(ctx)
	if err != nil {
		return "", err
	}
	if _, err := s.db.create(ctx, req.ID, requestDoc{CertRequest: req}); err != nil {
		return "", err
	}
	defer s.withdraw(ctx, req.ID)
	return s.answer(ctx, req.ID, since)
}

// answer waits for the answer to a request.
func (s *Certificates) answer(ctx context.Context, id, since string) (string, error) {
	for {
		var doc requestDoc
		err := s.db.get(ctx, id, &doc)
		switch {
		case err == nil && doc.Cert != "":
			return doc.Cert, nil
		case err == nil && doc.Answered:
			return "", problem.Invalid.Errorf("the CA refused the request: %s", doc.Error)
		case problem.KindOf(err) == problem.NotExist:
			return "", problem.Unavailable.Errorf("the request for a certificate was lost")
		}
		if err == nil {
			_, since, err = s.db.changes(ctx, since, id)
		}
		if ctx.Err() != nil {
			return "", problem.Unavailable.Errorf("the CA does not answer")
		}
		if err != nil {
			return "", err
		}
	}
}

// withdraw removes a request, also when ctx is done. One that stays is removed
// by the CA later.
func (s *Certificates) withdraw(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	_ = s.db.erase(ctx, id)
}

// Follow calls f with the requests that have no answer yet, oldest first, and
// the number of certificates in the pool: at the start and after every change,
// one call at a time. It returns when ctx is done, f fails, or the database is
// away. It also removes what has expired.
func (s *Certificates) Follow(ctx context.Context, f func(pending []record.CertRequest, poolSize int) error) error {
	since, err := s.db.now(ctx)
	if err != nil {
		return err
	}
	for {
		if err := s.clean(ctx); err != nil {
			return err
		}
		pending, err := s.pending(ctx)
		if err != nil {
			return err
		}
		n, err := s.Count(ctx, "")
		if err != nil {
			return err
		}
		if err := f(pending, n); err != nil {
			return err
		}
		if _, since, err = s.db.changes(ctx, since); err != nil {
			return err
		}
	}
}

// pending returns the requests without answer. Old ones it removes: nobody
// waits for them.
func (s *Certificates) pending(ctx context.Context) ([]record.CertRequest, error) {
	var list, out []record.CertRequest
	q := query{Selector: map[string]any{"type": "CertRequest", "answered": false}, Limit: maxPerUser}
	if err := s.db.find(ctx, q, "requests", into(&list)); err != nil {
		return nil, err
	}
	limit := s.db.db.now().Add(-requestLife)
	for _, r := range list {
		if r.CreatedAt.After(limit) {
			out = append(out, r)
		} else if err := s.db.erase(ctx, r.ID); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b record.CertRequest) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out, nil
}

// Answer stores the answer to req: the certificate, or, when certPEM is empty,
// req.Error. A request that was taken back or answered meanwhile is NotExist or
// Stale.
func (s *Certificates) Answer(ctx context.Context, req record.CertRequest, certPEM string) error {
	var have meta
	if err := s.db.get(ctx, req.ID, &have); err != nil {
		return err
	}
	req.Cert = certPEM
	if certPEM != "" {
		req.Error = ""
	}
	req.Type = "CertRequest"
	_, err := s.db.update(ctx, req.ID, requestDoc{CertRequest: req, Answered: true})
	return err
}
