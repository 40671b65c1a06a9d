package device

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// ControlKind says what values a control takes.
type ControlKind string

// Kinds of controls, after V4L2 and libcamera.
const (
	// ControlInteger takes whole numbers from Min to Max in steps of Step.
	ControlInteger ControlKind = "integer"
	// ControlNumber takes any number from Min to Max.
	ControlNumber ControlKind = "number"
	// ControlBoolean takes 0 and 1.
	ControlBoolean ControlKind = "boolean"
	// ControlMenu takes the values of Items, which have names.
	ControlMenu ControlKind = "menu"
	// ControlIntegerMenu takes the values of Items, whose names are numbers.
	ControlIntegerMenu ControlKind = "integer_menu"
	// ControlButton has no value; setting it to anything is the action.
	ControlButton ControlKind = "button"
	// ControlBitmask takes any combination of the bits in Max.
	ControlBitmask ControlKind = "bitmask"
	// ControlText takes text of Min to Max characters; Step, if above 1, divides
	// the length.
	ControlText ControlKind = "text"
)

// Control is one property of a camera that can be adjusted or looked at.
type Control struct {
	// ID names the control to programs: "brightness", "exposure_time_absolute"
	// on V4L2; "ExposureTime" on libcamera.
	ID string `json:"id"`
	// Name is what the driver calls it, for people.
	Name string `json:"name"`
	// Group is the class of the control: "user", "camera", "jpeg".
	Group string      `json:"group,omitempty"`
	Kind  ControlKind `json:"kind"`
	// Unit of the values, such as "100 µs"; empty when there is none or nobody
	// says.
	Unit string `json:"unit,omitempty"`
	// Min, Max and Step bound the values. Whole numbers are exact up to 2^53.
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
	Step float64 `json:"step,omitempty"`
	// Default is the driver's, Value the present one.
	Default ControlValue `json:"default"`
	Value   ControlValue `json:"value"`
	// Items are the choices of menus.
	Items []ControlItem `json:"items,omitempty"`
	// ReadOnly controls only tell; WriteOnly ones have no value to read.
	ReadOnly  bool `json:"read_only,omitempty"`
	WriteOnly bool `json:"write_only,omitempty"`
	// Inactive controls have no effect now, because of another one: exposure
	// time while exposure is automatic.
	Inactive bool `json:"inactive,omitempty"`
	// Busy controls cannot be set now, for instance while capturing.
	Busy bool `json:"busy,omitempty"`
	// Volatile values change by themselves.
	Volatile bool `json:"volatile,omitempty"`
	// Restarts is set when a change interrupts the pictures for a moment.
	Restarts bool `json:"restarts,omitempty"`
}

// ControlItem is one choice of a menu.
type ControlItem struct {
	Value int64  `json:"value"`
	Name  string `json:"name"`
}

// ControlValue is a number or a text. The zero value is the number 0.
type ControlValue struct {
	// Number holds all values that are not text; booleans are 0 and 1.
	Number float64
	// Text holds the value when IsText is set.
	Text   string
	IsText bool
}

// NumberValue makes a value of a number.
func NumberValue(n float64) ControlValue { return ControlValue{Number: n} }

// TextValue makes a value of a text.
func TextValue(s string) ControlValue { return ControlValue{Text: s, IsText: true} }

// String prints the value as a person would write it.
func (v ControlValue) String() string {
	if v.IsText {
		return v.Text
	}
	return strconv.FormatFloat(v.Number, 'f', -1, 64)
}

// MarshalJSON gives a number or a string.
func (v ControlValue) MarshalJSON() ([]byte, error) {
	if v.IsText {
		return json.Marshal(v.Text)
	}
	return json.Marshal(v.Number)
}

// UnmarshalJSON reads a number, a string, or true and false for 1 and 0.
func (v *ControlValue) UnmarshalJSON(text []byte) error {
	var x any
	if err := json.Unmarshal(text, &x); err != nil {
		return fmt.Errorf("control value: %w", err)
	}
	switch x := x.(type) {
	case float64:
		*v = NumberValue(x)
	case string:
		*v = TextValue(x)
	case bool:
		*v = ControlValue{}
		if x {
			v.Number = 1
		}
	default:
		return fmt.Errorf("control value %s: write a number, a text, true or false", text)
	}
	return nil
}

// Controller is what a [Camera] with controls implements as well. All methods
// may be called from any goroutine from the time the camera was opened until it
// is closed, before Start too.
type Controller interface {
	// Controls lists all controls with their present values, in the driver's
	// order.
	Controls(ctx context.Context) ([]Control, error)

	// SetControls sets the controls with the given IDs. All are checked first:
	// an ID that is not there, a control that cannot be set or a value out of
	// range is an error of kind ErrInvalid that names it, and then nothing is
	// changed; a control that is Busy is one of kind ErrBusy. Text is accepted for
	// menus, where it is an item's name. It returns all controls as they are
	// afterwards, read back from the device, which may have granted something
	// else.
	SetControls(ctx context.Context, values map[string]ControlValue) ([]Control, error)

	// ControlsChanged receives a value after a control changed, by whomever. The
	// channel is never closed; changes close to each other become one value.
	ControlsChanged() <-chan struct{}
}
