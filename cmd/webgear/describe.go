package main

import (
	"fmt"

	"github.com/webgear-pi/webgear/pkg/status"
)

// describe is one line about the camera for systemctl status.
func describe(c status.Camera) string {
	name := c.Source
	if c.Info != nil {
		name = c.Info.Name + " (" + c.Info.Path + ")"
	}
	switch {
	case c.State == status.Online && c.Granted != nil:
		return fmt.Sprintf("Camera online: %s, %s", name, c.Granted)
	case c.State == status.Offline && c.Cause != nil:
		return fmt.Sprintf("Camera offline: %s: %s. %s", name, c.Cause.Title, c.Cause.Remedy)
	case c.State == status.Asleep:
		return "Camera asleep until somebody watches: " + name
	}
	return "Camera starting: " + name
}
