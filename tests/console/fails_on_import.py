from lit_cv.errors import UserError

raise UserError("the import fails on purpose; remove it.")
