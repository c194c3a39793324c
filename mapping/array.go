package mapping

// eachElement calls visit for every element of an array in Postgres's text
// format, NULL elements left out. The text passed to visit is valid until visit
// returns; scratch is reused for unescaping. It reports false where the text is
// no array of one dimension; visit stops the walk by returning false.
func eachElement(s []byte, scratch *[]byte, visit func(text []byte) bool) bool {
	return eachElementOrNull(s, scratch, func(text []byte, null bool) bool { return null || visit(text) })
}

// eachElementOrNull is eachElement with the NULL elements.
func eachElementOrNull(s []byte, scratch *[]byte, visit func(text []byte, null bool) bool) bool {
	if len(s) > 0 && s[0] == '[' { // bounds: [0:1]={a,b}
		i := 0
		for i < len(s) && s[i] != '=' {
			i++
		}
		if i == len(s) {
			return false
		}
		s = s[i+1:]
	}
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return false
	}
	s = s[1 : len(s)-1]
	if len(s) == 0 {
		return true
	}
	for {
		var element []byte
		null := false
		if len(s) > 0 && s[0] == '"' {
			buf := (*scratch)[:0]
			i := 1
			for ; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					if i++; i == len(s) {
						return false
					}
				}
				buf = append(buf, s[i])
			}
			if i >= len(s) {
				return false
			}
			*scratch = buf
			element, s = buf, s[i+1:]
		} else {
			i := 0
			for i < len(s) && s[i] != ',' {
				if s[i] == '{' || s[i] == '}' || s[i] == '"' || s[i] == '\\' {
					return false
				}
				i++
			}
			element, s = s[:i], s[i:]
			if len(element) == 0 {
				return false
			}
			null = string(element) == "NULL"
		}
		if !visit(element, null) {
			return true
		}
		if len(s) == 0 {
			return true
		}
		if s[0] != ',' {
			return false
		}
		s = s[1:]
	}
}
