package source

import (
	"regexp"
	"strings"
)

var (
	// userInfo is the user and the password in an address.
	userInfo = regexp.MustCompile(`://([^/@\s:"']*):([^/\s"']*)@`)
	// secretField is a field of an address, or a property of an element of a
	// pipeline, whose name says that its value is nobody's business.
	secretField = regexp.MustCompile(`(?i)([?&;\s][\w.-]*(?:pas|pwd|pw|auth|token|secret|key)[\w.-]*=)("[^"]*"|'[^']*'|[^&;\s"'!]+)`)
)

// Shown is spec as it may be shown to everybody: without passwords.
func Shown(spec string) string {
	if !strings.Contains(spec, "://") && !strings.Contains(spec, "!") {
		return spec
	}
	return secretField.ReplaceAllString(userInfo.ReplaceAllString(spec, "://$1:xxxxx@"), "${1}xxxxx")
}
