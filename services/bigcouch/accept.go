package bigcouch

import (
	"mime"
	"strconv"
	"strings"
)

// accepts reports whether the client takes an answer of a media type. One that
// does not say takes everything, as with CouchDB.
func (c *call) accepts(media string) bool {
	return accepts(c.r.Header.Values("Accept"), media)
}

func accepts(headers []string, media string) bool {
	if len(headers) == 0 {
		return true
	}
	group, _, _ := strings.Cut(media, "/")
	for _, h := range headers {
		for item := range strings.SplitSeq(h, ",") {
			t, params, err := mime.ParseMediaType(item)
			if err != nil || t != media && t != group+"/*" && t != "*/*" {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); err != nil || q > 0 {
				return true
			}
		}
	}
	return false
}
