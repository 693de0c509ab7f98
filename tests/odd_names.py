"""Names that users give to classes, files and folders. For tests."""

NAMES = (
  '$x$',
  '$\\frac{$',
  'a_b^c',
  '100 % $',
  '\\mathdefault{',
  'two\nlines',
  '\x1b[31mred\x1b[0m',
  'left\u202eright',
  '\udcff',
  '',
  '  ',
  ', ',
  'x' * 500,
  '<b>|`*',
  '日本語',
  '猫',
  '犬',
  'a\x7fb\tc',
  '--flag=x y',
)
