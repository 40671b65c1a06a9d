package device

import (
	"encoding/json"
	"testing"
)

func TestControlValuesSurviveJSON(t *testing.T) {
	for text, want := range map[string]ControlValue{
		"12": NumberValue(12), "-0.5": NumberValue(-0.5), `"auto"`: TextValue("auto"), "true": NumberValue(1), "false": {},
		"9007199254740992": NumberValue(1 << 53),
	} {
		var v ControlValue
		if err := json.Unmarshal([]byte(text), &v); err != nil || v != want {
			t.Errorf("%s: got %+v, %v", text, v, err)
		}
		data, err := json.Marshal(v)
		var back ControlValue
		if err != nil || json.Unmarshal(data, &back) != nil || back != want {
			t.Errorf("%s became %s", text, data)
		}
	}
	for _, bad := range []string{"null", "[1]", "{}", "x"} {
		var v ControlValue
		if err := v.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s was accepted as %+v", bad, v)
		}
	}
}

func TestControlValuesPrintAsPeopleWriteThem(t *testing.T) {
	for want, v := range map[string]ControlValue{"0": {}, "1.5": NumberValue(1.5), "10000000": NumberValue(1e7), "manual": TextValue("manual")} {
		if got := v.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
