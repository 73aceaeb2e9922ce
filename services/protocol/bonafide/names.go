package bonafide

import (
	"slices"
	"strings"

	"leap.example/services/protocol/problem"
)

// ValidLogin checks a login name (leap-protocols.md 1.6): 2 to 64 of the
// characters a-z, 0-9, "_", ".", "-", first a letter, last a letter or digit.
// Beyond the original, two dots in a row are refused: no mail address may
// have them. Otherwise the error is Invalid.
func ValidLogin(login string) error {
	switch {
	case len(login) < 2:
		return problem.Invalid.Errorf("must have at least two characters")
	case len(login) > 64:
		return problem.Invalid.Errorf("must have at most 64 characters")
	case strings.ContainsFunc(login, func(r rune) bool { return !letter(r) && !digit(r) && !strings.ContainsRune("_.-", r) }):
		return problem.Invalid.Errorf("only lowercase letters, digits, . - and _ allowed")
	case !letter(rune(login[0])):
		return problem.Invalid.Errorf("must begin with a lowercase letter")
	case !letter(rune(login[len(login)-1])) && !digit(rune(login[len(login)-1])):
		return problem.Invalid.Errorf("must end with a letter or digit")
	case strings.Contains(login, ".."):
		return problem.Invalid.Errorf("must not have two dots in a row")
	}
	return nil
}

func letter(r rune) bool { return 'a' <= r && r <= 'z' }
func digit(r rune) bool  { return '0' <= r && r <= '9' }

func isHex(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !digit(r) && (r < 'a' || r > 'f') && (r < 'A' || r > 'F')
	})
}

// Reserved reports whether login is a name that no user may have
// (leap-protocols.md 10.4): the lists of LEAP, RFC 2142, and the accounts of
// a Debian system in place of those of the machine.
func Reserved(login string) bool {
	return slices.Contains(strings.Fields(reserved), login)
}

const reserved = `
certmaster ssladmin arin-admin administrator www-data maildrop postmaster admin contact info noreply
robot helpdesk help tickets owner
admins administrators email help-desk help_desk helpticket helptickets help-ticket help-tickets mail
owners reply staff support tech-support tech_support techsupport ticket vmail
hostmaster domainadmin webmaster www abuse noc security usenet news uucp ftp sales marketing
mailer-daemon no-reply root daemon bin sys sync games man lp proxy backup list irc gnats nobody
systemd-network systemd-resolve systemd-timesync messagebus sshd syslog _apt`
