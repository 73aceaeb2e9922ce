package bigcouch

import (
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName = "AuthSession"
	cookieLife = 10 * time.Minute
)

// issue gives the client a session of u.
func (c *call) issue(name string, fingerprint [32]byte) {
	at := strconv.FormatInt(time.Now().Unix(), 16)
	mac := c.auth.mac("session", name, at, string(fingerprint[:]))
	value := base64.RawURLEncoding.EncodeToString([]byte(name + ":" + at + ":" + hex.EncodeToString(mac[:])))
	c.setCookie(value, time.Now().Add(cookieLife), int(cookieLife.Seconds()))
}

func (c *call) setCookie(value string, expires time.Time, maxAge int) {
	http.SetCookie(c.w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", Expires: expires, MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// resume returns the user of a session, and renews a session that is not new.
func (c *call) resume(value string) (user, error) {
	wrong := badRequest("Malformed AuthSession cookie. Please clear your cookies.")
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return user{}, wrong
	}
	rest, sum, ok1 := cutLast(string(raw))
	name, at, ok2 := cutLast(rest)
	mac, err := hex.DecodeString(sum)
	began, errTime := strconv.ParseInt(at, 16, 64)
	if !ok1 || !ok2 || err != nil || len(mac) != 32 || errTime != nil {
		return user{}, wrong
	}
	u, fingerprint, err := c.fingerprintOf(name)
	if err != nil {
		return user{}, err
	}
	age := time.Since(time.Unix(began, 0))
	if !equal([32]byte(mac), c.auth.mac("session", name, at, string(fingerprint[:]))) || age > cookieLife {
		return user{}, nil // As if there were no cookie: the resource decides.
	}
	if age > cookieLife/10 {
		c.issue(name, fingerprint)
	}
	u.handler = "cookie"
	return u, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// userCtx is what a client is told about itself.
type userCtx struct {
	OK    bool     `json:"ok,omitempty"`
	Name  *string  `json:"name"`
	Roles []string `json:"roles"`
}

func contextOf(u user) userCtx {
	ctx := userCtx{Roles: append([]string{}, u.Roles...)}
	slices.Sort(ctx.Roles)
	if u.Name != "" {
		ctx.Name = &u.Name
	}
	return ctx
}

func (c *call) getSession() error {
	type info struct {
		Handlers      []string `json:"authentication_handlers"`
		Authenticated string   `json:"authenticated,omitempty"`
	}
	basic, err := c.flag("basic")
	if err != nil {
		return err
	}
	if basic && c.user.Name == "" {
		c.w.Header().Set("WWW-Authenticate", `Basic realm="server"`)
		return unauthorized("Please login.")
	}
	handlers := []string{"cookie", "default"}
	if c.auth.proxy != nil {
		handlers = append(handlers, "proxy")
	}
	c.reply(http.StatusOK, struct {
		OK      bool    `json:"ok"`
		UserCtx userCtx `json:"userCtx"`
		Info    info    `json:"info"`
	}{true, contextOf(c.user), info{handlers, c.user.handler}})
	return nil
}

func (c *call) postSession() error {
	c.limit = 64 << 10 // Anybody may ask.
	status, err := c.next()
	if err != nil {
		return err
	}
	name, password, ok := c.r.BasicAuth()
	if !ok || c.r.ContentLength != 0 {
		if name, password, err = c.credentialsInBody(); err != nil {
			return err
		}
	}
	u, fingerprint, err := c.login(name, password)
	if err != nil {
		return err
	}
	c.issue(u.Name, fingerprint)
	ctx := contextOf(u)
	ctx.OK = true
	c.reply(status, ctx)
	return nil
}

// next returns the status of a success: a redirection if the query names the
// path to go on with.
func (c *call) next() (status int, err error) {
	if !c.query.Has("next") {
		return http.StatusOK, nil
	}
	next := c.query.Get("next")
	if !strings.HasPrefix(next, "/") || strings.ContainsAny(next, "\\\r\n") {
		return 0, badRequest("path must begin with a /.")
	}
	if strings.HasPrefix(next, "//") {
		next = "/." + next // A path of this server, and no name of another (RFC 3986, 4.2).
	}
	c.w.Header().Set("Location", next)
	return http.StatusFound, nil
}

// credentialsInBody reads a form or a JSON object.
func (c *call) credentialsInBody() (name, password string, err error) {
	t, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch t {
	case "application/x-www-form-urlencoded":
		data, err := c.readBody()
		if err != nil {
			return "", "", err
		}
		form, err := url.ParseQuery(string(data))
		if err != nil {
			return "", "", badRequest("Request body is not a form")
		}
		if !form.Has("name") {
			return "", "", badRequest("request body must contain a username")
		}
		return form.Get("name"), form.Get("password"), nil
	case "application/json":
		var body struct {
			Name     *string
			Password string
		}
		if err := c.decode(&body); err != nil {
			return "", "", err
		}
		if body.Name == nil {
			return "", "", badRequest("request body must contain a username")
		}
		return *body.Name, body.Password, nil
	}
	return "", "", errContentType
}

func (c *call) deleteSession() error {
	status, err := c.next()
	if err != nil {
		return err
	}
	c.setCookie("", time.Unix(0, 0), -1)
	c.reply(status, okReply)
	return nil
}
