def summarize_cells(study, cells):
    return {}
