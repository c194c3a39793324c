// Package expression compiles the expressions of a mapping: the syntax of
// expr-lang (github.com/expr-lang/expr, whose parser is used), with meanings of
// its own where expr-lang's would be wrong for rows of a database.
//
//   - Numbers are exact decimals; whole numbers do not wrap, and / gives up to 20
//     places.
//   - NULL in an operator or function gives NULL; ??, == nil and coalesce handle
//     it. and, or and not have SQL's three values. A condition that is NULL is
//     false. A step into NULL, past the end of a list or to a missing key is NULL.
//   - There is no clock, no environment and no I/O: the same row always gives the
//     same value.
//
// Compile checks the types of everything that has one and reports all mistakes
// at once. A Program never changes and may be shared; a Frame belongs to one
// goroutine.
package expression
