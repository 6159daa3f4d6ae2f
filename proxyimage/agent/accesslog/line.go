package accesslog

import "encoding/json"

// line is the log-format of haproxycfg.
type line struct {
	Reason  string `json:"reason"`
	Would   string `json:"would"`
	SNI     string `json:"sni"`
	Src     string `json:"src"`
	Port    int64  `json:"port"`
	Dst     string `json:"dst"`
	Source  string `json:"source"`
	In      int64  `json:"in"`
	Out     int64  `json:"out"`
	Connect int64  `json:"connect"`
	Total   int64  `json:"total"`
	State   string `json:"state"`

	// Of pool mode only.
	Status  int64  `json:"status"`
	Retries string `json:"retries"`
	Backend string `json:"backend"`
}

// read reads the line. Nearly every line is as plain as the log-format can make it, and is read here; whatever is not, such as a
// name with an escape in it, is left to encoding/json, which takes ten times as long: at thousands of connections per second
// that would be a tenth of all that the proxy costs.
func (l *line) read(text []byte) error {
	if l.readPlain(string(text)) {
		return nil
	}
	*l = line{}
	return json.Unmarshal(text, l)
}

// readPlain reports whether it has read the whole line: an object of known names, each with a string of printable ASCII without
// escapes, or a whole number.
func (l *line) readPlain(s string) bool {
	s, ok := skip(s, '{')
	for first := true; ok; first = false {
		if rest, end := skip(s, '}'); end && !first {
			return rest == "" || rest == "\n"
		}
		if !first {
			if s, ok = skip(s, ','); !ok {
				break
			}
		}
		var name string
		if name, s, ok = plainString(s); !ok {
			break
		}
		if s, ok = skip(s, ':'); !ok {
			break
		}
		if text := l.text(name); text != nil {
			*text, s, ok = plainString(s)
		} else if number := l.number(name); number != nil {
			*number, s, ok = plainNumber(s)
		} else {
			break
		}
	}
	return false
}

// text returns the field of a string, or nil.
func (l *line) text(name string) *string {
	switch name {
	case "reason":
		return &l.Reason
	case "would":
		return &l.Would
	case "sni":
		return &l.SNI
	case "src":
		return &l.Src
	case "dst":
		return &l.Dst
	case "source":
		return &l.Source
	case "state":
		return &l.State
	case "retries":
		return &l.Retries
	case "backend":
		return &l.Backend
	}
	return nil
}

// number returns the field of a number, or nil.
func (l *line) number(name string) *int64 {
	switch name {
	case "port":
		return &l.Port
	case "in":
		return &l.In
	case "out":
		return &l.Out
	case "connect":
		return &l.Connect
	case "total":
		return &l.Total
	case "status":
		return &l.Status
	}
	return nil
}

func skip(s string, c byte) (string, bool) {
	if s == "" || s[0] != c {
		return s, false
	}
	return s[1:], true
}

// plainString reads a string in quotes and returns it and what follows.
func plainString(s string) (value, rest string, ok bool) {
	if s, ok = skip(s, '"'); !ok {
		return "", s, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			return s[:i], s[i+1:], true
		case c < ' ' || c > '~' || c == '\\':
			return "", s, false
		}
	}
	return "", s, false
}

// maxDigits keeps a number within 64 bits.
const maxDigits = 18

// plainNumber reads a whole number and returns it and what follows.
func plainNumber(s string) (value int64, rest string, ok bool) {
	digits, negative := skip(s, '-')
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		value = 10*value + int64(digits[n]-'0')
		n++
	}
	if n == 0 || n > maxDigits || n > 1 && digits[0] == '0' {
		return 0, s, false
	}
	if negative {
		value = -value
	}
	return value, digits[n:], true
}
