package capacity

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number writes a figure as people do: 193,536, 363, 2.5, 1e-06.
func number(f float64) string {
	decimals := 0
	switch {
	case f == math.Trunc(f) || f >= 1000:
	case f >= 10:
		decimals = 1
	case f >= 0.01:
		decimals = 3
	default:
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(f, 'f', decimals, 64), ".")
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		fraction = "." + fraction
	}
	return thousands(whole) + fraction
}

func thousands(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if strings.Trim(digits, "0123456789") != "" {
		return sign + digits
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

func count(n int) string { return thousands(strconv.Itoa(n)) }

// plural writes "1 node" and "100 nodes".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") {
		noun += "e"
	}
	if strings.HasSuffix(noun, "xy") {
		return count(n) + " " + strings.TrimSuffix(noun, "y") + "ies"
	}
	return count(n) + " " + noun + "s"
}

func percent(share float64) string {
	switch {
	case share <= 0:
		return "0 %"
	case share < 1e-12:
		return "less than 1e-12"
	case share < 1e-4:
		return fmt.Sprintf("%.1g", share)
	case share > 0.9995:
		return "100 %"
	}
	return strconv.FormatFloat(share*100, 'g', 3, 64) + " %"
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
